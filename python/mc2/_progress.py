"""How far a call is, where somebody looks: a line in a terminal, a bar in a notebook."""

from __future__ import annotations

import sys
import time
from typing import Any, Callable, Optional

#: Told `(phase, done, total, words)`.
Progress = Callable[[str, Optional[int], Optional[int], str], None]

#: Calls that take less show nothing.
_QUIET = 0.5
_WIDTH = 24
#: How often something is drawn, in seconds.
_PAUSE = 0.1


def shown(progress: bool | Progress | None) -> Progress | None:
    """Whom to tell: a function, a bar, or nobody. Where nothing is said, a bar where people look."""
    if callable(progress):
        return progress
    if progress is False:
        return None
    if _notebook() is not None:
        return _Bar(_Notebook())
    if progress or sys.stderr.isatty():
        return _Bar(_Terminal())
    return None


def done(progress: Progress | None) -> None:
    """Clears what was drawn."""
    if isinstance(progress, _Bar):
        progress.clear()


def _notebook() -> Any:
    """IPython's shell, where it runs in a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell if shell is not None and hasattr(shell, "kernel") else None


class _Bar:
    def __init__(self, to: _Terminal | _Notebook) -> None:
        self._to = to
        self._begun = self._drawn = time.monotonic()
        self._phase = ""
        self._total: int | None = None
        self._done: int | None = None
        self._words = ""

    def __call__(self, phase: str, done: int | None, total: int | None, words: str) -> None:
        if phase == "approve":
            # All of a policy: for functions.
            return
        if phase != self._phase:
            self._phase, self._total, self._done, self._words = phase, None, None, ""
        self._total = total if total is not None else self._total
        self._done = done if done is not None else self._done
        self._words = words or self._words
        self.tick()

    def tick(self) -> None:
        """Draws it, where there is something new to see: called while nothing else is told, too."""
        now = time.monotonic()
        if self._phase and now - self._begun > _QUIET and now - self._drawn > _PAUSE:
            self._drawn = now
            self._to.draw(self._phase, self._share(), self._told())

    def clear(self) -> None:
        self._to.clear()

    def _share(self) -> float | None:
        if self._total and self._done is not None:
            return min(self._done / self._total, 1.0)
        return None

    def _told(self) -> str:
        if self._words:
            return self._words
        if self._phase == "seal" and self._done is not None:
            return f"{self._done / 1e6:,.0f} MB"
        return f"{time.monotonic() - self._begun:.0f} s"


class _Terminal:
    def __init__(self) -> None:
        self._length = 0

    def draw(self, phase: str, share: float | None, words: str) -> None:
        bar = "" if share is None else f"[{'#' * round(share * _WIDTH):<{_WIDTH}}] {share:4.0%} "
        line = f"{phase:<8}{bar}{words}"[:100]
        sys.stderr.write("\r" + line.ljust(self._length))
        sys.stderr.flush()
        self._length = len(line)

    def clear(self) -> None:
        if self._length:
            sys.stderr.write("\r" + " " * self._length + "\r")
            sys.stderr.flush()
            self._length = 0


class _Notebook:
    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, phase: str, share: float | None, words: str) -> None:
        from html import escape

        from IPython.display import HTML, display

        value = "" if share is None else f' value="{share:.3f}"'
        page = HTML(f"{escape(phase)} <progress{value}></progress> {escape(words)}")
        if self._handle is None:
            self._handle = display(page, display_id=True)
        else:
            self._handle.update(page)

    def clear(self) -> None:
        if self._handle is not None:
            from IPython.display import HTML

            self._handle.update(HTML(""))
            self._handle = None
