"""Draw every study at its default size, and the page that shows them: `make gallery`.

Ten minutes on two cores. Studies can be named, to draw only those.
"""

import sys
from pathlib import Path

import jax
from PIL import Image

from jaxmimo.plotting import save_figure
from jaxmimo.studies import STUDIES
from jaxmimo.studies.study import Sampling, Study

HERE = Path(__file__).parent
PICTURES = HERE / "pictures"
_INTRODUCTION = """# Gallery

What `jaxmimo run STUDY` draws with its default parameters. `make gallery` draws the pictures anew.
"""


def page() -> str:
    """The page of all pictures."""
    parts = [_INTRODUCTION]
    for name, study in STUDIES.items():
        title = f"## {name}\n\n{study.summary}: {study.paper}, {study.figure}."
        parts.append(f"{title}\n\n![{study.summary}](pictures/{name}.png)\n")
    return "\n".join(parts)


def draw(study: Study) -> None:
    """Run a study and write its picture, in as few colours as graphs have."""
    result = study.run(study.parameters(), Sampling(jax.random.key(0), study.realizations))
    path = PICTURES / f"{study.name}.png"
    save_figure(study.plot(result), path)
    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)


def main(names: list[str]) -> None:
    """Draw the named studies, or all."""
    PICTURES.mkdir(exist_ok=True)
    for name in names or STUDIES:
        draw(STUDIES[name])
        print(name, flush=True)
    (HERE / "gallery.md").write_text(page())


if __name__ == "__main__":
    main(sys.argv[1:])
