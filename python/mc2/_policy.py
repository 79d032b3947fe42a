"""Policies, as a person reads them before anybody signs."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from html import escape
from typing import Any

from . import _mc2
from .errors import InputError


@dataclass(frozen=True)
class Statement:
    """One plain sentence that follows from a policy."""

    #: A stable word, for programs.
    id: str
    #: Which question it answers: `learn`, `ask`, `host`, `enclave`, `time`.
    section: str
    #: What it is about: `bank-a`, `job train, step 2`, `the policy`.
    about: str
    #: Whether somebody should weigh it before signing.
    warning: bool
    text: str

    def __str__(self) -> str:
        return f"{self.about}: {self.text}"


class Meaning:
    """What a policy means, in sentences: what `mc2 policy check` says."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._text: str = told["text"]
        self._sections: list[tuple[str, str]] = told["sections"]
        self.name: str = told["name"]
        self.digest: str = told["digest"]
        #: Every sentence, in order.
        self.statements = [Statement(**statement) for statement in told["statements"]]

    @property
    def warnings(self) -> list[Statement]:
        """The sentences that somebody should weigh before signing."""
        return [statement for statement in self.statements if statement.warning]

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        sentences, warnings = len(self.statements), len(self.warnings)
        return f"<mc2.Meaning of policy {self.name}: {sentences} sentences, {warnings} to weigh>"

    def _repr_html_(self) -> str:
        parts = [f"<p>policy <strong>{escape(self.name)}</strong>, digest {escape(self.digest)}</p>"]
        for section, title in self._sections:
            said = [one for one in self.statements if one.section == section]
            rows = "".join(
                f"<tr><td>{'!' if one.warning else ''}</td><td>{escape(one.about)}</td>"
                f"<td>{_strong(one)}</td></tr>"
                for one in said
            )
            if said:
                parts.append(f"<table><caption>{escape(title)}</caption><tbody>{rows}</tbody></table>")
        return "".join(parts)


class Policy:
    """A policy that holds: every field was checked, and its exact bytes are what everybody signs."""

    def __init__(self, native: _mc2.Policy, path: str | None = None) -> None:
        self._native = native
        self._path = path
        #: Its fields as they are in the file.
        self.fields: dict[str, Any] = json.loads(native.fields())["policy"]

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Policy:
        """Reads a policy's file. What is wrong with it is a `PolicyRefused`, with line and column."""
        path = os.path.expanduser(os.fspath(path))
        return cls(_mc2.Policy.read(path), path)

    @classmethod
    def from_text(cls, text: str | bytes) -> Policy:
        """Takes a policy's exact text."""
        data = text.encode() if isinstance(text, str) else text
        return cls(_mc2.Policy.parse(data, "the policy's text"))

    @property
    def name(self) -> str:
        return self.fields["name"]

    @property
    def digest(self) -> str:
        """SHA-256 of its exact bytes: what is approved."""
        return self._native.digest

    @property
    def parties(self) -> dict[str, str]:
        """The fingerprint of each party's card, by the party's name: compare them over the telephone."""
        told = json.loads(self._native.fields())["parties"]
        return {party["name"]: party["fingerprint"] for party in told}

    def check(self) -> Meaning:
        """What it means, in sentences: who could learn what, who may ask, what the host sees."""
        return Meaning(json.loads(self._native.check()))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes its exact bytes to a file that is not there yet."""
        path = os.path.expanduser(os.fspath(path))
        try:
            with open(path, "xb") as file:
                file.write(self._native.bytes)
        except FileExistsError as error:
            raise InputError(
                f"{path} is there already and stays as it is: a policy that was agreed is never "
                "written over; name another file"
            ) from error

    def __bytes__(self) -> bytes:
        return self._native.bytes

    def __fspath__(self) -> str:
        if self._path is None:
            raise InputError("this policy is of no file: save it to one first, or read it from there")
        return self._path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        """Field by field, as it is shown before an approval."""
        return self._native.text()

    def __repr__(self) -> str:
        return f"<mc2.Policy {self.name}, digest {self.digest[:16]}…>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(what)}</th><td>{escape(value)}</td></tr>" for what, value in self._rows()
        )
        return f"<table><caption>policy {escape(self.name)}</caption><tbody>{rows}</tbody></table>"

    def _rows(self) -> list[tuple[str, str]]:
        fields = self.fields
        rows = [
            ("digest", self.digest),
            ("expires", str(fields["expires"])),
            ("enclaves", ", ".join(fields["enclave"]["tee"])),
        ]
        rows += [(f"party {name}", fingerprint) for name, fingerprint in self.parties.items()]
        rows += [
            (f"component {one['name']}", f"SHA-256 {one['sha256']}") for one in fields["component"]
        ]
        rows += [
            (f"dataset {one['name']}", f"of {one['owner']}") for one in fields.get("dataset", [])
        ]
        rows += [
            (
                f"job {job['name']}",
                f"{', '.join(job['submit'])} may submit it, {job['runs']} runs a session; "
                + " then ".join(step["component"] for step in job["step"]),
            )
            for job in fields["job"]
        ]
        return rows


def _strong(statement: Statement) -> str:
    text = escape(statement.text)
    return f"<strong>{text}</strong>" if statement.warning else text
