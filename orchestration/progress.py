"""Progress on standard error: a bar where somebody watches, nothing where nobody does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def bytes_bar(path: Path) -> Iterator[Callable[[int], None]]:
    """A bar over the bytes of a file; the callback takes how many have been read so far."""
    console = Console(stderr=True)
    total = path.stat().st_size if path.is_file() else None
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"importing {path.name}", total=total)
        yield lambda read: progress.update(task, completed=read)
