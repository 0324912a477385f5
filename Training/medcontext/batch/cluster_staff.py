"""Which workers there are, which of them can take part in a run, and which were lost."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter

import distributed

from medcontext.batch.cluster_config import GPU
from medcontext.batch.cluster_messages import Message
from medcontext.batch.cluster_start import Pool
from medcontext.batch.cluster_worker import admit, stop, warm_up
from medcontext.errors import InputError, ResourceError
from medcontext.events import Reporter

LOOK_S = 1.0
REFILL_S = 30.0
"""Seconds between two requests for workers in place of lost ones."""


class Staff:
    """The workers of a run.

    Args:
        pool: where they come from.
        facts: what each must agree with.
        device: that was asked for.
        reporter: told of lost and refused workers, and of waiting for the first one.

    Attributes:
        idle: whether workers that come have nothing to do yet, so that they may get ready.
    """

    def __init__(self, pool: Pool, facts: Message, device: str, reporter: Reporter) -> None:
        self.facts = facts
        self._pool, self._device, self._reporter = pool, device, reporter
        self._names: dict[str, str] = {}
        self._with_gpu: set[str] = set()
        self._refused: dict[str, str] = {}
        self._said: set[str] = set()
        self.idle = False
        self._looked = float("-inf")
        self._refilled = self._empty_since = time.monotonic()
        self._had = self._on_gpus = False

    @property
    def usable(self) -> list[str]:
        """Addresses of the workers that take cases: those with a graphics processor once any had one."""
        able = [address for address in self._names if address not in self._refused]
        return [address for address in able if address in self._with_gpu] if self._on_gpus else able

    @property
    def sharers(self) -> dict[str, int]:
        """Workers on each machine, by the host of their address."""
        return dict(Counter(_host(address) for address in self._names))

    @property
    def placing(self) -> Message:
        """How cases are sent so that only workers that can take part get them, and one at a time uses a GPU."""
        wanted: Message = {}
        if self._refused:
            wanted = {"workers": self.usable, "allow_other_workers": True}
        if self._on_gpus:
            wanted["resources"] = {GPU: 1}
        return wanted

    def look(self) -> None:
        """See who came and who went; costs nothing when it was done a moment ago.

        Raises:
            InputError: every worker was refused, or none has the device asked for.
            ResourceError: there has been no worker for too long, or the scheduler is gone.
        """
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        try:
            living = set(self._pool.client.nthreads())
            self._forget(living)
            self._admit(living - set(self._names))
        except (OSError, TimeoutError) as error:
            raise scheduler_lost(self._pool) from error
        self._check(now)

    def refuse(self, address: str, sentence: str) -> None:
        """Give a worker no more cases."""
        self._refused[address] = sentence
        if sentence not in self._said:
            self._said.add(sentence)
            self._reporter.warning(sentence)

    def stop(self) -> None:
        """Have workers begin nothing more and give up what they compute; what they write they finish."""
        # A worker that hangs must not keep the driver from ending.
        threading.Thread(target=self._tell_to_stop, args=(self.usable,), daemon=True).start()

    def _tell_to_stop(self, workers: list[str]) -> None:
        # Whoever is gone has stopped.
        with contextlib.suppress(OSError, RuntimeError, TimeoutError, ValueError):
            self._pool.client.run(stop, self.facts, workers=workers, on_error="return")

    def _forget(self, living: set[str]) -> None:
        for address in set(self._names) - living:
            name = self._names.pop(address)
            self._with_gpu.discard(address)
            if self._refused.pop(address, None) is None:
                self._reporter.warning(
                    f"The worker {name} is gone; what it worked on begins again elsewhere."
                )

    def _admit(self, new: set[str]) -> None:
        if not new:
            return
        answers = self._pool.client.run(admit, self.facts, workers=sorted(new), on_error="return")
        for address, answer in answers.items():
            if isinstance(answer, OSError):
                continue  # it went in this moment, or answers next time
            self._names[address] = address.rpartition("//")[2]
            if isinstance(answer, Exception):
                text = str(answer).partition("\n")[0]
                version = self.facts["version"]
                self.refuse(
                    address, f"The worker {self._names[address]} cannot run MedContext {version}: {text}."
                )
                continue
            self._names[address] = f"{answer['host']}:{address.rpartition(':')[2]}"
            if answer["gpu"] and self._device not in ("cpu", "mps"):
                self._with_gpu.add(address)
                self._on_gpus = True  # from now on: cases that wait for one are not sent elsewhere
            if answer["refused"]:
                self.refuse(address, answer["refused"])
                continue
            if self.idle:
                warming = self._pool.client.submit(
                    warm_up, workers=[address], pure=False, key=f"warm-up-{address}"
                )
                distributed.fire_and_forget(warming)

    def _check(self, now: float) -> None:
        if self.usable:
            self._empty_since, self._had = now, True
            if self._device.startswith("cuda") and not self._on_gpus:
                raise InputError(
                    f"No worker of {self._pool.name} offers the resource {GPU}, which '{self._device}' needs.",
                    f"Start workers with 'dask worker ADDRESS --nthreads 1 --resources {GPU}=1'.",
                )
        elif self._names and len(self._refused) == len(self._names) >= self._pool.expected:
            raise InputError(next(iter(self._refused.values())), "Then start this again: it goes on.")
        waited = now - self._empty_since
        if waited > 5 and "waiting" not in self._said:
            self._said.add("waiting")
            self._reporter.info(f"Waiting for a worker of {self._pool.name}.")
        if self._pool.wait_s is not None and waited > self._pool.wait_s:
            raise ResourceError(
                f"There has been no worker of {self._pool.name} for {waited / 60:.0f} minutes.",
                "Start workers, then this again: it goes on.",
            )
        if now - self._refilled > REFILL_S:
            all_lost = self._had and not self.usable and waited > 2 * REFILL_S
            self._pool.refill(all_lost)
            self._refilled, self._had = now, self._had and not all_lost


def scheduler_lost(pool: Pool) -> ResourceError:
    """The error of a run whose scheduler is gone."""
    return ResourceError(
        f"The connection to the scheduler of {pool.name} was lost.",
        "Finished cases are kept; start this again once it is back: it goes on.",
    )


def _host(address: str) -> str:
    return address.rpartition("//")[2].rpartition(":")[0]
