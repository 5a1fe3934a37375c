"""Security updates of a compose project: what ``archon security-updates`` and the job ``security_updates`` do.

Lock -> record the images and the revision -> back up, verified -> fetch (pull, build on fresh bases; nothing stops for
it) -> replace the services whose image has changed, one by one in dependency order, each behind a health gate and
``pip check`` -> done. A balancer is part of the service that it balances, whose probe goes through it: a new image of
it replaces that service. The first failure puts back the recorded images and the services replaced so far; data are
never touched. Killed in between: ``archon security-updates --return`` does the same from the record in the home.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

from archon_dagster.backup.backup import BackupRequest, back_up_under_lock, git_revision
from archon_dagster.backup.checks import raise_for_failed
from archon_dagster.context import OperationContext, Step, telling
from archon_dagster.errors import ArchonError, Cancelled, ConfigurationError, ServiceError
from archon_dagster.health.windows import close_windows, open_window
from archon_dagster.maintenance import recorded
from archon_dagster.maintenance.engine_images import EngineImages, Images
from archon_dagster.maintenance.pip_check import pip_check
from archon_dagster.maintenance.recorded import Recorded
from archon_dagster.maintenance.updated import Updated
from archon_dagster.platform.readiness import wait_for
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import BY_NAME

PURPOSE = "security updates"


def fetch_fresh(runtime: Runtime) -> None:
    """Pull what is pulled, and build what is built here on fresh bases."""
    runtime.pull()
    runtime.build()


def update(
    operation: OperationContext, images: Images | None = None, fetch: Callable[[Runtime], None] = fetch_fresh
) -> Updated:
    """Update; see the module for the order. What failed is in the result, which raises it when asked to.

    :raises ArchonError: and anything else before the first service is replaced: none was touched.
    """
    require_compose(operation.runtime)
    images = images or EngineImages(operation.settings.compose_project)
    settings = operation.settings
    with operation.repository.lock(PURPOSE, check=operation.check) as lease:
        with _step(operation, "record images"):
            before = _record(operation, images)
        result = back_up_under_lock(operation, BackupRequest(note=f"before {PURPOSE}"), lease)
        raise_for_failed(result.manifest.id, result.checks)
        before = recorded.begin(settings.home, before.model_copy(update={"backup": result.manifest.id}))
        with _window(operation, PURPOSE):
            return _fetch_and_replace(operation, images, fetch, before)


def go_back(operation: OperationContext, images: Images | None = None) -> tuple[str, ...]:
    """Put back the recorded images and every service that runs on another one; which those were.

    :raises ServiceError: some could not be put back, each of them is named; all others were.
    """
    require_compose(operation.runtime)
    before = recorded.load(operation.settings.home)
    if before is None:
        raise ConfigurationError("no update has been recorded here; nothing was touched")
    images = images or EngineImages(operation.settings.compose_project)
    purpose = f"return from {PURPOSE}"
    with operation.repository.lock(purpose, check=operation.check), _window(operation, purpose):
        changed = {name for name, (_, image) in images.used().items() if before.ids.get(name, image) != image}
        return _put_back(operation, images, before, _services(operation, images, changed))


def require_compose(runtime: Runtime) -> None:
    """:class:`ConfigurationError` where there are no images."""
    if runtime.kind != "compose":
        raise ConfigurationError(
            f"there are no images here (ARCHON_RUNTIME={runtime.kind}); nothing was touched",
            todo="what is installed: archon security-updates --plan; upgrade the installation itself with pip",
        )


def _record(operation: OperationContext, images: Images) -> Recorded:
    used = images.used()
    return Recorded(
        at=time.time(),
        references={name: reference for name, (reference, _) in used.items()},
        ids={name: image for name, (_, image) in used.items()},
        digests=operation.runtime.image_digests(),
        revision=git_revision(operation.settings.project_dir),
    )


def _fetch_and_replace(
    operation: OperationContext, images: Images, fetch: Callable[[Runtime], None], before: Recorded
) -> Updated:
    result, touched = Updated(before), list[str]()
    try:
        with _step(operation, "fetch images"):
            fetch(operation.runtime)
        new = {name: images.stands_for(reference) for name, reference in before.references.items()}
        fresh = {name: (old, str(new[name])) for name, old in before.ids.items() if new[name] not in (None, old)}
        result = replace(result, unchanged=tuple(name for name in before.ids if name not in fresh))
        parts = images.parts()
        for name in _services(operation, images, fresh):  # catalogue order: what others need comes first
            operation.check()
            touched.append(name)
            with _step(operation, f"replace {name}"):
                if not _replace(operation, name):
                    result = replace(result, unasked=(*result.unasked, name))
            mine = {one: ids for one, ids in fresh.items() if parts.get(one, one) == name}
            result = replace(result, changed={**result.changed, **mine})
    except Exception as error:
        returned = _taken_back(operation, images, before, touched, error)
        if isinstance(error, Cancelled):
            raise Cancelled(error.what, tried=f"put back: {', '.join(returned) or 'nothing was replaced'}") from error
        if not isinstance(error, ArchonError):
            raise
        return replace(result, returned=returned, why=str(error).splitlines()[0])
    return result


def _services(operation: OperationContext, images: Images, names: Collection[str]) -> list[str]:
    """The services that have to be replaced so that these containers are, in their order."""
    parts = images.parts()
    wanted = {parts.get(name, name) for name in names}
    return [name for name in operation.runtime.services() if name in wanted]


def _taken_back(
    operation: OperationContext, images: Images, before: Recorded, touched: list[str], cause: Exception
) -> tuple[str, ...]:
    try:
        return _put_back(operation, images, before, touched)
    except ArchonError as error:
        raise ServiceError(
            f"the update failed, and so did the way back: {error.what}",
            tried=f"update: {str(cause).splitlines()[0]}",
            todo=f"archon security-updates --return --confirm UPDATE; data: archon restore {before.backup} --plan",
        ) from error


def _replace(operation: OperationContext, name: str) -> bool:
    """Replace one behind its gates; ``False`` where ``pip check`` could not be asked."""
    broken = pip_check(operation.runtime, name)
    operation.runtime.recreate(name)
    _healthy(operation, name, operation.cancel)
    now = pip_check(operation.runtime, name)
    if now is None:
        operation.report(Step(f"pip check {name}", "could not be asked", 0.0))
    if now and not broken:
        raise ServiceError(f"{name}: pip check fails in the new image and did not in the old one: {now}")
    return now is not None


def _healthy(operation: OperationContext, name: str, cancel: threading.Event) -> None:
    if name in BY_NAME:
        budget = BY_NAME[name].start_budget * operation.settings.start_patience
        wait_for(BY_NAME[name], operation.settings, operation.runtime, cancel, budget)
    elif next(one.state for one in operation.runtime.status() if one.service == name) != "running":
        raise ServiceError(f"{name} does not run\n{operation.runtime.logs(name, 15)}")


def _put_back(operation: OperationContext, images: Images, before: Recorded, names: list[str]) -> tuple[str, ...]:
    """Every name stands for what it did, and the named services run on it again; not to be cancelled.

    One that cannot be put back keeps no other from it: they are worse off on the images that were to be left.
    """
    now = {images.stands_for(reference) for reference in before.references.values()}
    failures: list[str] = []
    for service, reference in before.references.items():
        with _noting(failures, service):
            images.put_back(reference, before.ids[service])
    for name in names:
        with _noting(failures, name), telling(operation.report, f"put back {name}"):
            operation.runtime.recreate(name)
            _healthy(operation, name, threading.Event())
    recorded.save(operation.settings.home, before.leaving(image for image in now if image is not None))
    if failures:
        logs = [log for _, _, log in (failure.partition("\n") for failure in failures) if log]
        raise ServiceError(
            "\n".join(["; ".join(failure.partition("\n")[0] for failure in failures), *logs]),
            tried="every other service was put back",
            todo="mend what is named, then: archon security-updates --return --confirm UPDATE; archon start",
        )
    return tuple(names)


@contextmanager
def _noting(failures: list[str], name: str) -> Iterator[None]:
    try:
        yield
    except ArchonError as error:
        failures.append(error.what if error.what.startswith(name) else f"{name}: {error.what}")


@contextmanager
def _window(operation: OperationContext, why: str) -> Iterator[None]:
    """What is replaced is down for a moment: the automation must not see a failure in it."""
    settings = operation.settings
    window = open_window(settings.home, settings.maintenance_window, why, time.time(), who="archon")
    try:
        yield
    finally:
        close_windows(settings.home, time.time(), window.id)


@contextmanager
def _step(operation: OperationContext, name: str) -> Iterator[None]:
    operation.check()
    with telling(operation.report, name):
        yield
