"""What a service needs to simulate on request: threads for answers at once, and workers for jobs."""

from __future__ import annotations

from importlib.util import find_spec

from pipeline.base.settings import Settings
from serving.routes.simulating.engine import Bulkhead
from serving.routes.simulating.workers import Workers


class Desk:
    """Opened and closed with the service.

    Parameters
    ----------
    bulkhead
        Threads for answers at once.
    workers
        Threads for jobs.
    """

    def __init__(self, bulkhead: Bulkhead, workers: Workers) -> None:
        self.bulkhead = bulkhead
        self.workers = workers

    @classmethod
    def of(cls, settings: Settings) -> Desk:
        """The desk of a service; without numba, which the models need, nobody works there."""
        assert settings.database_url is not None  # required before
        count = settings.simulation_workers if find_spec("numba") is not None else 0
        workers = Workers(settings.database_url.get_secret_value(), count, settings.simulation_scheduler)
        return cls(Bulkhead(), workers)

    def open(self) -> None:
        """Begin to work."""
        self.workers.open()

    def close(self) -> None:
        """Stop after what is under way."""
        self.workers.close()
