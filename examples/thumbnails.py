"""Make the small pictures of the index, `README.md`, from those that the examples saved.

Run the examples first, all into one folder, and then ``python examples/thumbnails.py [--output FOLDER]``.
"""

import argparse
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
WIDTH = 240  # pixels
COLOURS = 256

# Which of its pictures stands for an example.
PICTURES = {
    "calibration_study": "calibration_study_reliability.png",
    "choosing_c": "choosing_c_scores.png",
    "cross_entropy": "cross_entropy_two.png",
    "exponential_family": "exponential_family_facts.png",
    "out_of_core": "out_of_core_memory.png",
    "pipeline": "pipeline_coefficients.png",
    "quickstart": "quickstart.png",
    "sigmoid_and_softmax": "sigmoid_and_softmax_slopes.png",
    "soft_targets": "soft_targets_probabilities.png",
    "softmax_has_a_picture": "softmax_has_a_picture_triangle.png",
    "temperature": "temperature_bars.png",
    "units": "units_paths.png",
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE / "output", help="where the pictures are")
    folder = parser.parse_args().output
    for name, picture in PICTURES.items():
        with Image.open(folder / picture) as large:
            height = round(large.height * WIDTH / large.width)
            small = large.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
        small.quantize(COLOURS).save(HERE / "images" / f"{name}_small.png", optimize=True)
