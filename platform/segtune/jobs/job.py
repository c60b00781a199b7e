"""A study as a job: submit it, follow it, stop it, find it again."""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import aiohttp
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from segtune.jobs.request import Request
from segtune.results.provenance import COMMIT, DIRTY, STUDY_COMMIT, Origin
from segtune.study.overrides import SpecError

STUDY, STORAGE = "segtune.execution.runner", "segtune.results.storage"
"""Keys of a job's metadata."""
PATIENCE = 120.0
"""Seconds without an answer after which the cluster is given up."""
STOPPING = 60.0
"""Seconds that a job has to end; Ray kills it after three."""
_NO_AGENT = "No available agent"
_LOST = (RuntimeError, OSError, aiohttp.ClientError)


def submit_job(
    client: JobSubmissionClient, request: Request, archive: Path, variables: Mapping[str, str]
) -> str:
    """Hand a study over to a cluster.

    Args:
        client: of the cluster.
        request: the study.
        archive: becomes the working directory of the job and of its workers.
        variables: of their environment.

    Returns:
        The job's id: the study's name and the next number.

    Raises:
        SpecError: a job runs this study already, or the cluster does not take it.
    """
    jobs = submitted(client)
    check_free(jobs, request)
    taken = {job.submission_id for job in jobs}
    numbered = (f"{request.name}-{number}" for number in itertools.count(1))
    job_id = next(name for name in numbered if name not in taken)
    try:
        return client.submit_job(
            entrypoint=request.entrypoint,
            submission_id=job_id,
            runtime_env={"working_dir": str(archive), "env_vars": dict(variables)},
            metadata={STUDY: request.name, STORAGE: request.storage},
        )
    except (RuntimeError, OSError) as error:
        message = f"the cluster did not take the job: {error}"
        if _NO_AGENT in message:
            message += (
                " The head's dashboard_agent.log says why: where two Rays share a machine, give "
                "each `ray start` a --dashboard-agent-listen-port of its own"
            )
        raise SpecError([message]) from error


def provenance_variables(origin: Origin) -> dict[str, str]:
    """Variables that tell a job which commits its code and its study are of.

    The job's archive has no git to ask. What is not known is set too, to nothing: the image of the
    cluster may have set it for other code.
    """
    dirty = "" if origin.git_commit is None else str(int(bool(origin.git_dirty)))
    return {
        COMMIT: origin.git_commit or "",
        DIRTY: dirty,
        STUDY_COMMIT: origin.study_commit or "",
    }


def submitted(client: JobSubmissionClient) -> list[JobDetails]:
    """The jobs that the cluster remembers, oldest first."""
    jobs = [job for job in client.list_jobs() if job.submission_id]
    return sorted(jobs, key=lambda job: job.start_time or 0)


def check_free(jobs: Sequence[JobDetails], request: Request) -> None:
    """Check that no job runs this study in the same storage now.

    Raises:
        SpecError: a job does.
    """
    for job in jobs:
        metadata = job.metadata or {}
        same = (metadata.get(STUDY), metadata.get(STORAGE)) == (request.name, request.storage)
        if same and not job.status.is_terminal():
            raise SpecError(
                [
                    f"{request.name} is being run already, by job {job.submission_id}: watch it "
                    f"with `segtune status {job.submission_id} --address ... --watch`, end it with "
                    f"`segtune stop`, or give this one another --name"
                ]
            )


def find_job(client: JobSubmissionClient, name: str) -> JobDetails:
    """Find a job by its id, or the latest job of a study.

    Raises:
        SpecError: there is none; names those that there are.
    """
    jobs = submitted(client)
    for job in reversed(jobs):
        if job.submission_id == name:
            return job
    for job in reversed(jobs):
        if (job.metadata or {}).get(STUDY) == name:
            return job
    known = ", ".join(str(job.submission_id) for job in jobs) or "none"
    raise SpecError([f"the cluster knows no job {name}, nor one of a study {name}; jobs: {known}"])


def follow(client: JobSubmissionClient, job_id: str, write: Callable[[str], object]) -> JobDetails:
    """Write a job's log as it grows, until the job ends.

    Raises:
        SpecError: the cluster does not answer any more.
    """
    log, answered = _Log(write), time.monotonic()
    while True:
        try:
            asyncio.run(log.tail(client, job_id))
            job = client.get_job_info(job_id)
            if job.status.is_terminal():
                log.begin()
                log.add(client.get_job_logs(job_id))
                return job
            answered = time.monotonic()
        except _LOST as error:
            if time.monotonic() - answered > PATIENCE:
                raise SpecError(
                    [f"the cluster does not answer any more: {error}. The job may well go on"]
                ) from error
        time.sleep(1)


class _Log:
    """Writes every part of a log once, however often it is read from its beginning."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._shown = self._read = 0

    def begin(self) -> None:
        """From here on the log is read from its beginning again."""
        self._read = 0

    def add(self, text: str) -> None:
        """Write the part of a text that was not written before."""
        new = text[max(0, self._shown - self._read) :]
        self._read += len(text)
        self._shown = max(self._shown, self._read)
        if new:
            self._write(new)

    async def tail(self, client: JobSubmissionClient, job_id: str) -> None:
        """Write what a job prints, as it prints it."""
        self.begin()
        async for text in client.tail_job_logs(job_id):
            self.add(text)


def stop_job(client: JobSubmissionClient, job: JobDetails) -> JobDetails:
    """End a job.

    Raises:
        SpecError: it did not end.
    """
    job_id = str(job.submission_id)
    client.stop_job(job_id)
    end = time.monotonic() + STOPPING
    while not (job := client.get_job_info(job_id)).status.is_terminal():
        if time.monotonic() > end:
            raise SpecError([f"{job_id} is still {job.status.value.lower()}: try again"])
        time.sleep(0.5)
    return job


def summary(job: JobDetails) -> str:
    """A job in a few lines: state, times, study, storage, command."""
    metadata = job.metadata or {}
    state = job.status.value.lower()
    if job.driver_exit_code is not None:
        state += f", exit code {job.driver_exit_code}"
    if job.start_time:
        state += f", started {_clock(job.start_time)}"
    if job.end_time:
        state += f", ended {_clock(job.end_time)}"
    lines = [f"{job.submission_id}: {state}"]
    if STUDY in metadata:
        lines.append(f"study {metadata[STUDY]}, results in {metadata.get(STORAGE)}")
    return "\n".join([*lines, f"$ {job.entrypoint}", ""])


def _clock(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000):%d %b %H:%M:%S}"


def exit_code(job: JobDetails) -> int:
    """Of `segtune run` in a job that has ended; 130, as for Ctrl-C, where it was stopped."""
    if job.status == JobStatus.SUCCEEDED:
        return 0
    if job.status == JobStatus.STOPPED:
        return 130
    code = job.driver_exit_code
    return code if code is not None and code > 0 else 1
