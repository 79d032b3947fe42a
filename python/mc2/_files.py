"""What the command line does with files, for one party: identities, sealing and opening by hand, looking
at things, following receipts."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Iterable

from . import _mc2
from ._verdict import Verdict, _checks
from .errors import ResultTampered


@dataclass(frozen=True)
class Identity:
    """An identity that was made here, and its card, which is for everybody."""

    name: str
    #: What others compare over the telephone before they believe the card.
    fingerprint: str
    #: The card, as a policy has it.
    card: str
    #: SHA-256 of the card.
    digest: str
    #: Where its secret keys are: for you alone.
    path: Path
    #: Where the card is, to be sent to others.
    card_path: Path

    def __repr__(self) -> str:
        return f"<mc2.Identity {self.name}, fingerprint {self.fingerprint}>"


@dataclass(frozen=True)
class Opened:
    """What was opened."""

    #: What was written.
    paths: list[Path]
    #: How the job ended, in words.
    result: str
    #: Whether it succeeded.
    succeeded: bool
    #: What else is to be said: how the receipt verified, and what it does not show.
    lines: list[str]

    def __str__(self) -> str:
        return "\n".join([*self.lines, *map(str, self.paths)])


class Inspected:
    """What a file or folder is."""

    def __init__(self, text: str, fields: dict[str, Any]) -> None:
        self._text = text
        #: What is known of it; `what` of everything.
        self.fields = fields

    @property
    def what(self) -> str:
        """`component`, `sealed object`, `policy`, `receipt`, `card`, …"""
        return self.fields["what"]

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<mc2.Inspected {self.what}>"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self._text)}</pre>"


def keygen(name: str = "default") -> Identity:
    """Makes an identity and its card in the state folder, as `mc2 keygen` does.

    The default one is made at first use; others are for those who are several parties.
    """
    told = json.loads(_mc2.keygen(name))
    return Identity(
        told["name"],
        told["fingerprint"],
        told["card"],
        told["digest"],
        Path(told["path"]),
        Path(told["card_path"]),
    )


def seal(
    path: str | os.PathLike[str],
    name: str,
    *,
    output: str | os.PathLike[str] = ".",
    identity: str | None = None,
) -> Path:
    """Seals a file or folder as a version of the dataset `name`, as `mc2 seal` does; returns the folder
    `NAME.sealed` in `output`, which may go anywhere. `Enclave.seal` takes it as any path."""
    path, output = _plain(path), _plain(output)
    return Path(_mc2.seal(path, name, output, identity)[1])


def open(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    identity: str | None = None,
    policy: str | os.PathLike[str] | None = None,
    job: str | None = None,
    components: Iterable[str | os.PathLike[str]] = (),
    allow_simulated: bool = False,
    collateral: str | os.PathLike[str] | None = None,
) -> Opened:
    """Opens an own sealed object to `output`, or the result of a job into the folder `output` once its
    receipt verifies, as `mc2 open` does. Nothing is written where it does not.

    The options are those of `verify`; `identity` is who opens, anybody of yours where none is named.
    """
    told = json.loads(
        _mc2.open(
            _plain(path),
            _plain(output),
            identity,
            _named(policy),
            job,
            [_plain(one) for one in components],
            allow_simulated,
            None if collateral is None else _plain(collateral),
        )
    )
    paths = [Path(one) for one in told["paths"]]
    return Opened(paths, told["result"], told["succeeded"], told["lines"])


def inspect(path: str | os.PathLike[str]) -> Inspected:
    """Says what a component, sealed object, policy, evidence, receipt, card or job is, without running or
    opening it, as `mc2 inspect` does."""
    text, fields = _mc2.inspect(_plain(path))
    return Inspected(text, json.loads(fields))


def verify(
    path: str | os.PathLike[str],
    *,
    policy: str | os.PathLike[str] | None = None,
    job: str | None = None,
    components: Iterable[str | os.PathLike[str]] = (),
    allow_simulated: bool = False,
    collateral: str | os.PathLike[str] | None = None,
    vouch: str | os.PathLike[str] | None = None,
    timestamp: tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
) -> Verdict:
    """Follows the receipt in a file, or in a result's folder, back to its evidence, as `mc2 verify` does.

    `policy` is the file of the policy that was agreed; nothing where the job was submitted from here,
    `"any"` where none is known. `job` is the digest of the job it must be of, `components` are the files
    of all that the policy names, in its order, to be measured here. A simulator's receipt passes with
    `allow_simulated` alone. With `vouch`, the file of somebody who may approve the job, or `timestamp`, a
    token and the roots that are believed about time, it is followed as of that time, too.

    Raises `ResultTampered` where a link does not hold; its `verdict` has every link.
    """
    told = json.loads(
        _mc2.verify(
            _plain(path),
            _named(policy),
            job,
            [_plain(one) for one in components],
            allow_simulated,
            None if collateral is None else _plain(collateral),
            None if vouch is None else _plain(vouch),
            None if timestamp is None else (_plain(timestamp[0]), _plain(timestamp[1])),
        )
    )
    checks = _checks(told["checks"])
    verdict = Verdict(told["accepted"], checks, allow_simulated, told["not_shown"])
    if not verdict:
        error = ResultTampered(told["broken"], checks)
        error.verdict = verdict
        raise error
    return verdict


def _plain(path: str | os.PathLike[str]) -> str:
    return os.path.expanduser(os.fspath(path))


def _named(policy: str | os.PathLike[str] | None) -> str | None:
    return None if policy is None else os.fspath(policy)
