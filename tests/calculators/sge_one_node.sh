#!/usr/bin/env bash
# A real Grid Engine of one node for tests: sge_one_node.sh DIR, as root; then `. DIR/settings.sh`.
# Needs Debian's gridengine-master, gridengine-exec and gridengine-client; none of their own cells is touched, no
# systemd. Pids in DIR/spool/qmaster/qmaster.pid and DIR/spool/execd/localhost/execd.pid.
set -euo pipefail
dir=${1:?a work directory}
common=$dir/default/common
tools=/usr/lib/gridengine
host=localhost
mkdir -p "$common" "$dir"/spool/{db,qmaster,execd}
ln -s /usr/share/gridengine/util "$dir/util"
echo $host > "$common/act_qmaster"
echo "$host $(hostname)" > "$common/host_aliases"
cat > "$common/bootstrap" <<CONF
Version: 6.2
admin_user none
default_domain none
ignore_fqdn false
spooling_method berkeleydb
spooling_lib libspoolb
spooling_params $dir/spool/db
binary_path /usr/sbin
qmaster_spool_dir $dir/spool/qmaster
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
CONF
echo "export SGE_ROOT=$dir SGE_CELL=default SGE_QMASTER_PORT=16444 SGE_EXECD_PORT=16445" > "$dir/settings.sh"
. "$dir/settings.sh"
sed -e "s|^execd_spool_dir.*|execd_spool_dir $dir/spool/execd|" -e 's/^min_\([ug]\)id.*/min_\1id 0/' \
    /usr/share/gridengine/default-configuration > "$dir/configuration"
{
    $tools/spoolinit berkeleydb libspoolb "$dir/spool/db" init
    $tools/spooldefaults configuration "$dir/configuration"
    $tools/spooldefaults complexes /usr/share/gridengine/util/resources/centry
    $tools/spooldefaults usersets /usr/share/gridengine/util/resources/usersets
    $tools/spooldefaults managers root
    sge_qmaster
} > "$dir/log" 2>&1
for _ in $(seq 50); do qconf -sh >/dev/null 2>&1 && break; sleep .2; done
{
    qconf -as $host
    qconf -ssconf | sed -e 's/^schedule_interval.*/schedule_interval 0:0:2/' \
        -e 's/^flush_\(submit\|finish\)_sec.*/flush_\1_sec 1/' > "$dir/scheduler"
    qconf -Msconf "$dir/scheduler"
    sge_execd
} >> "$dir/log" 2>&1
{
    printf '%s\n' "qname all.q" "hostlist $host" "seq_no 0" "qtype BATCH" "slots ${SGE_NODE_SLOTS:-2}" \
        "shell /bin/sh" "shell_start_mode posix_compliant" "tmpdir /tmp" "rerun FALSE" "priority 0" "nsuspend 1" \
        "suspend_interval 00:05:00" "min_cpu_interval 00:05:00" "notify 00:00:60" "processors UNDEFINED" \
        "initial_state default"
    for none in load_thresholds suspend_thresholds ckpt_list pe_list prolog epilog starter_method suspend_method \
        resume_method terminate_method owner_list user_lists xuser_lists subordinate_list complex_values projects \
        xprojects calendar; do echo "$none NONE"; done
    for of in rt cpu fsize data stack core rss vmem; do echo "s_$of INFINITY"; echo "h_$of INFINITY"; done
} > "$dir/queue"
qconf -Aq "$dir/queue" >> "$dir/log" 2>&1
for _ in $(seq 60); do qstat -f 2>/dev/null | grep -q "all.q.*lx-" && exit 0; sleep .5; done
echo "the node did not come up:" && tail -5 "$dir/log" "$dir"/spool/qmaster/messages
exit 1
