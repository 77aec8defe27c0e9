"""What Slurm's commands say, for stand-ins of them; squeue as QToolKit asks it."""


def submitted(number: object) -> str:
    return f"Submitted batch job {number}"


def listed(job_id: object, state: str, name: str) -> str:
    """`state` in Slurm's short form: PD, R, CG, ..."""
    return "<><> ".join([str(job_id), state, "None", name, "me", "debug", "5:00", "1", "1", "0:10", "2G"])
