#!/usr/bin/env bash
# A real Slurm of one node for tests: slurm_one_node.sh DIR, as root; then `export SLURM_CONF=DIR/slurm.conf`.
# SLURM_NODE_CPUS lets the node claim more cores than it has, to test many jobs at once; nproc alone would heed
# OMP_NUM_THREADS.
# Needs Debian's slurmctld, slurmd, slurm-client and munge. No systemd, no cgroups. Pids in DIR/slurmctld.pid, slurmd.pid.
set -euo pipefail
dir=${1:?a work directory}
host=$(hostname -s)
mkdir -p "$dir"/{state,spool,log}
cat > "$dir/slurm.conf" <<CONF
ClusterName=ci
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=2
AccountingStorageType=accounting_storage/none
NodeName=$host NodeAddr=127.0.0.1 CPUs=${SLURM_NODE_CPUS:-$(nproc --all)} RealMemory=4000 State=UNKNOWN
PartitionName=debug Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$dir/slurm.conf
install -d -o munge -g munge -m 755 /run/munge /var/log/munge
munge -n >/dev/null 2>&1 || runuser -u munge -- /usr/sbin/munged --force >/dev/null 2>&1
for _ in $(seq 50); do munge -n >/dev/null 2>&1 && break; sleep .2; done
slurmctld -c >/dev/null 2>&1
for _ in $(seq 20); do scontrol ping >/dev/null 2>&1 && break; sleep .5; done
slurmd -N "$host" >/dev/null 2>&1
for _ in $(seq 60); do sinfo -h -o %T 2>/dev/null | grep -q idle && exit 0; sleep .5; done
echo "the node did not come up:" && tail -5 "$dir"/log/*.log
exit 1
