"""What ``spillway pin`` does, apart from options and configuration: look, compare, measure, write."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from spillway.pinning.canaries import Canary, suited
from spillway.pinning.compare import BREAKS, Change, brief
from spillway.pinning.drift import is_explained
from spillway.pinning.lock import Lock, LockedNode
from spillway.pinning.lock_file import load_lock, save_lock
from spillway.pinning.pin import CanaryScope, Checked, check_node, pin_node
from spillway.pinning.review import NodeReview, template_lines
from spillway.pinning.survey import Sight, Target, look
from spillway.pinning.template_notes import compared, linted
from spillway.pinning.weights import WeightFiles

__all__ = ["Mode", "Report", "run"]

Mode = Literal["pin", "check", "update"]
SCHEMA = "spillway.pin/1"
LINE_WIDTH = 150
"""Columns of a template's line that are shown."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found and done; ``lines`` and ``to_json`` say it to a person and to a script."""

    path: Path
    mode: Mode
    old: Lock
    checked: tuple[Checked, ...] = ()
    """One for each node that was looked at."""
    unreachable: tuple[tuple[str, str], ...] = ()
    """Pairs of node and why it could not be looked at."""
    added: tuple[tuple[str, LockedNode], ...] = ()
    """Nodes whose record was written, new or anew."""
    gone: tuple[str, ...] = ()
    """Pinned nodes that are no longer configured."""
    notes: tuple[str, ...] = ()
    renderings: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    """What a changed template does to reference conversations, by node and model."""
    is_written: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether a changed node was left as it was pinned, for want of ``--update``."""
        return self.mode == "pin" and self.differences > 0

    @property
    def differences(self) -> int:
        """What differs from the lock and was not accepted by this command."""
        if self.mode == "update":
            return 0
        changed = sum(len(one.review.changes) for one in self.checked if one.is_pinned)
        if self.mode == "pin":
            return changed
        new = sum(len(one.review.not_pinned) + len(one.review.elsewhere) for one in self.checked)
        silent = sum(len(_silent(one)) for one in self.checked)
        return changed + new + silent + len(self.gone)

    @property
    def is_equal(self) -> bool:
        """Whether nothing is left to accept."""
        return self.differences == 0

    @property
    def pinned(self) -> str:
        """What was written, in words."""
        models = sum(len(node.models) for _, node in self.added)
        canaries = sum(len(model.canaries) for _, node in self.added for model in node.models.values())
        return f"{_many(len(self.added), 'node')}, {_many(models, 'model')}, {_many(canaries, 'canary')}"

    def lines(self) -> list[str]:
        """A table of what changed, old → new, with what it usually breaks; then what else is to be said."""
        pairs = [(one, change) for one in self.checked for change in one.review.changes]
        places = [f"{one.review.name}/{change.model}" for one, change in pairs]
        wide = max(map(len, places), default=0)
        lines = []
        for index, (one, change) in enumerate(pairs):
            before, after = brief(change.before), brief(change.after)
            lines.append(f"{places[index]:<{wide}}  {change.field:<14}  {before} → {after}")
            following = pairs[index + 1 : index + 2]
            if not following or (following[0][0], following[0][1].field) != (one, change.field):
                lines.append(f"{'':<{wide}}  {'':<14}  {_meaning(one, change)}")
            if change.field == "template":
                lines += [f"    {line[:LINE_WIDTH]}" for line in self._template_lines(one, change.model)]
        for one in self.checked:
            lines += _standing(one, self.mode)
        lines += [f"{name}: {why}" for name, why in self.unreachable]
        verb = "was taken out of the lock" if self.mode == "update" else "is pinned but not configured"
        lines += [f"{name}: {verb}" for name in self.gone]
        return [*lines, *self.notes]

    def to_json(self) -> dict[str, Any]:
        """One object for scripts."""
        reviews = [
            {
                "name": one.review.name,
                "is_pinned": one.is_pinned,
                "changes": [
                    {
                        "model": change.model,
                        "field": change.field,
                        "before": change.before,
                        "after": change.after,
                        "breaks": BREAKS[change.field],
                        "renderings": list(self.renderings.get((one.review.name, change.model), ()))
                        if change.field == "template"
                        else [],
                    }
                    for change in one.review.changes
                ],
                "not_pinned": list(one.review.not_pinned),
                "unverified": [{"model": m, "field": f} for m, f in one.review.unverified],
                "served_elsewhere": [{"model": m, "host": h} for m, h in one.review.elsewhere],
            }
            for one in self.checked
        ]
        return {
            "schema": SCHEMA,
            "lock": str(self.path),
            "mode": self.mode,
            "differences": self.differences,
            "is_written": self.is_written,
            "nodes": reviews,
            "unreachable": [{"name": name, "why": why} for name, why in self.unreachable],
            "written": [name for name, _ in self.added],
            "not_configured": list(self.gone),
            "notes": list(self.notes),
        }

    def _template_lines(self, one: Checked, model: str) -> list[str]:
        """What renders differently, then the lines of the text that differ."""
        node = self.old.nodes.get(one.review.name)
        pinned, seen = node and node.identity(model), one.sight.identities.get(model)
        if not pinned or seen is None:
            return []
        rendered = list(self.renderings.get((one.review.name, model), ()))
        before, after = pinned.template_digest, seen.template_digest or ""
        return rendered + template_lines(self.old, one.sight.templates, before, after)


def _silent(one: Checked) -> list[tuple[str, str]]:
    """Pinned fields the node does not tell now, less those no engine tells of a model that is not loaded."""
    loaded = one.sight.loaded
    return [
        (model, field)
        for model, field in one.review.unverified
        if model in loaded or field not in ("context", "slots", "fingerprint")
    ]


def _meaning(one: Checked, change: Change) -> str:
    """What such a change usually breaks; other answers after another model are no further news."""
    if change.field == "canary" and is_explained(change, one.review.changes):
        return "other answers, as the changes above let expect"
    return f"usually breaks: {BREAKS[change.field]}"


async def run(
    mode: Mode,
    path: Path,
    targets: Sequence[Target],
    down: Mapping[str, str],
    canaries: tuple[Canary, ...],
    scope: CanaryScope,
    files: WeightFiles,
    *,
    is_part: bool,
) -> Report:
    """Looks at every target at once, compares, and in the modes that write, writes the lock once at the end.

    ``down`` are nodes that could not be started, with why; ``is_part``: other nodes exist and are none of
    this command's business. LockError when the lock is wrong or cannot be written.
    """
    old = await asyncio.to_thread(_old_lock, path, mode)
    sights = await asyncio.gather(*[look(target, files) for target in targets])
    pairs = list(zip(targets, sights, strict=True))
    known = {target.name for target in targets} | down.keys()
    gone = () if is_part else tuple(sorted(old.nodes.keys() - known))
    checked = await asyncio.gather(*[check_node(t, s, old, canaries, scope) for t, s in pairs])
    unreachable = [*down.items(), *((one.review.name, one.why) for one in checked if one.why)]
    seen = tuple(one for one in checked if one.why is None)
    report = Report(
        path,
        mode,
        old,
        seen,
        tuple((name, str(why)) for name, why in unreachable),
        gone=gone,
        renderings=await asyncio.to_thread(compared, old, seen),
    )
    if mode == "check":
        return _noted(report, [note for one in seen for note in one.notes])
    return await _write(report, pairs, canaries, scope)


def _old_lock(path: Path, mode: Mode) -> Lock:
    """An empty one where there is none yet, unless it is to be checked."""
    return load_lock(path) if mode == "check" or path.exists() else Lock()


async def _write(
    report: Report, pairs: Sequence[tuple[Target, Sight]], canaries: tuple[Canary, ...], scope: CanaryScope
) -> Report:
    """Measures what is new or accepted, and writes it all at once or nothing."""
    lock, added, unreachable = report.old, [], list(report.unreachable)
    notes: list[str] = []
    if report.mode == "update":
        for name in report.gone:
            lock = lock.without(name)
    by_name = {sight.name: (target, sight) for target, sight in pairs}
    for one in report.checked:
        target, sight = by_name[one.review.name]
        if not _wants_writing(one, report, canaries, scope):
            notes += one.notes
            continue
        pinned = await pin_node(target, sight, report.old, canaries, scope)
        notes += pinned.notes
        if pinned.node is None:
            unreachable.append((sight.name, str(pinned.why)))
            continue
        lock = lock.with_node(sight.name, pinned.node, sight.templates)
        added.append((sight.name, pinned.node))
    is_new = lock != report.old
    if is_new:
        await asyncio.to_thread(save_lock, lock, report.path)
    notes += await asyncio.to_thread(linted, report.checked, dict(added))
    done = replace(report, unreachable=tuple(unreachable), added=tuple(added), is_written=is_new)
    return _noted(done, notes)


def _wants_writing(one: Checked, report: Report, canaries: tuple[Canary, ...], scope: CanaryScope) -> bool:
    """Whether a node is pinned now: always when accepting, else only what the lock does not know yet."""
    if report.mode == "update" or not one.is_pinned:
        return True
    if one.review.changes:
        return False
    return bool(one.review.not_pinned) or _lacks_canaries(one, report.old, canaries, scope)


def _lacks_canaries(one: Checked, lock: Lock, canaries: tuple[Canary, ...], scope: CanaryScope) -> bool:
    node = lock.nodes[one.review.name]
    if scope == "none":
        return False
    models = one.sight.identities if scope == "all" else one.sight.loaded
    return any(
        not node.models[name].canaries and suited(canaries, one.sight.identities[name].capabilities)
        for name in models
        if name in node.models
    )


def _standing(one: Checked, mode: Mode) -> list[str]:
    """What is to be said of a node beside its changes."""
    review: NodeReview = one.review
    lines = []
    if mode == "check":
        lines += [f"{review.name}/{model}: served, but not pinned" for model in review.not_pinned]
        lines += [
            f"{review.name}/{model}: {field} is pinned, and the node does not tell it now"
            for model, field in _silent(one)
        ]
        lines += [f"{review.name}/{model}: is served by {host}, not here" for model, host in review.elsewhere]
    return lines


def _noted(report: Report, notes: Sequence[str]) -> Report:
    return replace(report, notes=tuple(dict.fromkeys(notes)))


def _many(count: int, what: str) -> str:
    plural = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{count} {what if count == 1 else plural}"
