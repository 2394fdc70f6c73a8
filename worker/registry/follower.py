"""The stage that follows the registry: new versions are loaded beside the old, jobs change over, the old ones leave.

Asks the database on a connection of its own, and goes on with what is served while it is away. What cannot be loaded is
refused, and written down; what is served stays.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine

from ...errors import DragomanError, TransientError
from ...storage.deployments import open_deployments
from ...storage.engine import transaction
from ...storage.models import Pair, RegisteredVersion, mark_used, refuse_version, registered_versions
from ..admission import Admission
from ..devices.engine_stage import EngineStage
from ..devices.served_models import Route, ServedModels
from ..pipeline import Pipeline
from ..stage import Stage
from .deployed_model import DeployedModel, Keeping, deployed_model
from .routing import Wanted, routes, serving, wanted
from .shadow_stage import ShadowStage

log = structlog.get_logger(__name__)

# How often the devices are looked at while one of them loads.
LOADING_SECONDS = 0.05
# A version that was refused is tried again after this: its files may have been away for a moment.
RETRY_SECONDS = 60.0
# A version that serves nothing any more leaves when no segment of it can be on its way: after this, and once its own
# are translated. One that comes later all the same is translated by it, only it has to be loaded again.
LEAVING_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Served:
    """Who is told what serves, what does at the start, and how often the registry is asked."""

    admission: Admission
    engine: EngineStage
    shadow: ShadowStage
    routes: Mapping[Pair, Route]
    poll_seconds: float


class RegistryFollower(Stage):
    """Keeps a running worker at what is deployed."""

    def __init__(self, pipeline: Pipeline, database: Engine, served: Served, keeping: Keeping) -> None:
        super().__init__("registry", pipeline.stopping)
        self._pipeline = pipeline
        self._database = database
        self._admission, self._engine, self._shadow = served.admission, served.engine, served.shadow
        self._poll_seconds = served.poll_seconds
        self._keeping = keeping
        self._routes = dict(served.routes)
        self._ready = {model.version: model for route in served.routes.values() for model in route.models}
        self._loading: dict[str, DeployedModel] = {}
        self._shadows: dict[Pair, DeployedModel] = {}
        self._refused_until: dict[str, float] = {}
        self._idle_since: dict[str, float] = {}
        self._plan: dict[Pair, Wanted] = {}
        self._versions: dict[str, RegisteredVersion] = {}
        self._read_at_seconds = 0.0
        self.database_answers = True

    def work(self) -> None:
        """Read what is deployed when it is time, and come nearer to it."""
        now = time.monotonic()
        if now >= self._read_at_seconds:
            self._read_at_seconds = now + self._poll_seconds
            self._read()
        self._begin_loading(now)
        self._end_loading(now)
        self._change_over()
        self._let_go(now)
        self._change_shadows(now)
        self.pause(LOADING_SECONDS if self._loading else min(1.0, self._poll_seconds))

    def _read(self) -> None:
        try:
            with transaction(self._database) as connection:
                self._plan = wanted(open_deployments(connection))
                self._versions = {version.id: version for version in registered_versions(connection)}
        except TransientError as error:
            if self.database_answers:
                log.warning("registry_not_reachable", error=str(error))
            self.database_answers = False
        else:
            self.database_answers = True

    def _begin_loading(self, now_seconds: float) -> None:
        for version, pairs in self._asked().items():
            if version in self._ready or version in self._loading:
                continue
            model = self._fetched(version, pairs, now_seconds)
            if model is not None:
                self._loading[version] = model
                self._engine.load_beside(version, model.source)

    def _fetched(self, version: str, pairs: frozenset[Pair], now_seconds: float) -> DeployedModel | None:
        """A version whose files are here and sound; None if it was refused, now or a moment ago."""
        if self._refused_until.get(version, 0.0) > now_seconds:
            return None
        try:
            return deployed_model(self._versions[version], pairs, self._keeping)
        except DragomanError as error:
            self._refuse(version, str(error), now_seconds)
            return None

    def _change_shadows(self, now_seconds: float) -> None:
        """Have the shadows that are asked for; they have a process of their own."""
        asked = {pair: plan.shadow for pair, plan in self._plan.items() if plan.shadow is not None}
        found: dict[Pair, DeployedModel] = {}
        for pair, version in asked.items():
            model = self._shadows.get(pair)
            if model is None or model.described.side.version != version:
                model = self._fetched(version, frozenset({pair}), now_seconds)
                model = model if model is not None and self._write_used(version) else None
            if model is not None:
                found[pair] = model
        if found != self._shadows:
            self._shadows = found
            self._shadow.serve(found)
            log.info("shadows_changed", models=sorted({model.described.side.version for model in found.values()}))

    def _asked(self) -> dict[str, frozenset[Pair]]:
        """Versions that are to answer jobs, with their pairs."""
        asked: dict[str, frozenset[Pair]] = {}
        for pair, plan in self._plan.items():
            for version in plan.answering:
                asked[version] = asked.get(version, frozenset()) | {pair}
        return asked

    def _end_loading(self, now_seconds: float) -> None:
        for version, model in list(self._loading.items()):
            reason = self._engine.refusal(version)
            if reason is not None:
                del self._loading[version]
                self._engine.unload(version)
                self._refuse(version, reason, now_seconds)
            elif self._engine.has(version) and self._write_used(version):
                del self._loading[version]
                self._refused_until.pop(version, None)
                self._ready[version] = model.described.side

    def _write_used(self, version: str) -> bool:
        """Its first batch will refer to its row, which says since when."""
        try:
            with transaction(self._database) as connection:
                mark_used(connection, version)
        except TransientError:
            return False
        return True

    def _change_over(self) -> None:
        found = routes(self._plan, self._ready, self._routes)
        if found == self._routes:
            return
        changed = [pair for pair in found if found[pair] != self._routes.get(pair)]
        self._admission.serve(ServedModels.routed(found))
        for pair in changed:
            route, before = found[pair], self._routes.get(pair)
            log.info(
                "model_swapped",
                pair="-".join(pair),
                model=route.production.version,
                before=before.production.version if before else None,
                canary=route.canary.version if route.canary else None,
                percent=route.percent,
            )
        self._pipeline.metrics.model_swaps.inc(len(changed))
        self._routes = found

    def _let_go(self, now_seconds: float) -> None:
        """Unload what serves nothing any more."""
        used = serving(self._routes)
        for version in used:
            self._idle_since.pop(version, None)
        for version in self._ready.keys() - used - self._asked().keys():
            since = self._idle_since.setdefault(version, now_seconds)
            busy = self._pipeline.waiting_room.holds(version)
            if not busy and now_seconds - since >= LEAVING_SECONDS and self._engine.unload(version):
                del self._ready[version], self._idle_since[version]

    def _refuse(self, version: str, reason: str, now_seconds: float) -> None:
        is_news = version not in self._refused_until
        self._refused_until[version] = now_seconds + RETRY_SECONDS
        if not is_news:
            return
        log.error("model_refused", model=version, reason=reason)
        self._pipeline.metrics.model_refusals.inc()
        try:
            with transaction(self._database) as connection:
                refuse_version(connection, version, self._pipeline.identity.worker_id, reason)
        except TransientError as error:
            log.warning("refusal_not_written", error=str(error))
