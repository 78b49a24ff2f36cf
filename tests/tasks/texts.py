"""A small text in WikiText-2's layout, with some structure to learn, and where the real one may be found."""

import os
import random
from pathlib import Path

NAMES = ("train.txt", "valid.txt", "test.txt")
WORDS = [f"word{number}" for number in range(60)]


def write_text(folder: Path, *, lines: int = 200, seed: int = 0) -> Path:
    """Sentences in which most words decide the next one; the rest are drawn, the first ones more often."""
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, share in zip(NAMES, (1.0, 0.4, 0.3), strict=True):
        text = []
        for _ in range(int(lines * share)):
            number, line = draw.randrange(60), []
            for _ in range(draw.randrange(4, 12)):
                line.append(WORDS[number])
                number = (7 * number + 3) % 60 if draw.random() < 0.8 else min(draw.randrange(60), draw.randrange(60))
            text.append(" ".join(line))
        (folder / name).write_text("\n".join(text) + "\n", encoding="utf-8")
    return folder


def wikitext2() -> Path | None:
    """The folder of the real text: RIEMOD_WIKITEXT2, or shared/data/wikitext-2 beside the checkout; None without."""
    beside = Path(__file__).parents[2].parent / "shared" / "data" / "wikitext-2"
    folder = Path(os.environ.get("RIEMOD_WIKITEXT2", beside))
    return folder if (folder / "train.txt").is_file() else None
