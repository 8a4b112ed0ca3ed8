"""`course evaluate` and `plot`: rates and distortions, and their curves."""

from course_lib.errors import InputError


def add_commands(commands) -> None:
    parser = commands.add_parser("evaluate", help="rate and distortion over a set of images")
    parser.add_argument("--codecs", required=True, nargs="+", metavar="NAME")
    parser.add_argument(
        "--images", required=True, metavar="SET", help="kodak, valid, train, or a folder"
    )
    parser.add_argument("--qualities", nargs="+", type=int, metavar="Q", help="default: a ladder")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="images at a time (all cores); 1 to compare times"
    )
    parser.add_argument("--out", metavar="DIR", help="where SET-NAME.json goes (data/results)")
    parser.set_defaults(run=_evaluate)

    parser = commands.add_parser("plot", help="draw measured and published curves; BD-rates")
    parser.add_argument("results", nargs="+", metavar="FILE", help="written by course evaluate")
    parser.add_argument("-o", dest="out", required=True, metavar="PICTURE", help="a .png or .svg")
    parser.add_argument("--metric", choices=("psnr", "ms-ssim"), default="psnr")
    parser.add_argument("--anchor", default="jpeg-plain", metavar="NAME", help="of the BD-rates")
    parser.add_argument("--max-bpp", type=float, metavar="R", help="draw rates up to this one")
    parser.set_defaults(run=_plot)


def _evaluate(options) -> None:
    from pathlib import Path

    from course_lib.codecs import load_codec, measured_at
    from course_lib.evaluation import evaluate
    from course_lib.images import image_set
    from course_lib.paths import data_dir

    if options.workers is not None and options.workers < 1:
        raise InputError(f"Got --workers {options.workers}; expected at least 1.")
    ladders = {name: options.qualities or measured_at(name) for name in options.codecs}
    for name, qualities in ladders.items():  # before hours of work, not after
        for quality in qualities:
            load_codec(name, quality)
    images = image_set(options.images)
    folder = Path(options.out) if options.out else data_dir() / "results"
    for name, qualities in ladders.items():
        out = folder / f"{Path(options.images).resolve().name}-{name}.json"
        evaluate(name, qualities, images, out, options.workers)
        print(f"{out}: {len(images)} images")


def _plot(options) -> None:
    from io import BytesIO
    from pathlib import Path

    import matplotlib.pyplot as plt
    import numpy as np

    from course_lib import plots
    from course_lib.codecs import CODECS
    from course_lib.evaluation import (
        OUR_OWN,
        is_on_kodak,
        load_results,
        measured_curve,
        published_curve,
    )
    from course_lib.paths import atomic_write

    suffix = Path(options.out).suffix.lower()
    if suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"Cannot draw {options.out}; expected a name in .png, .svg or .pdf.")
    results = [load_results(Path(path)) for path in options.results]
    curves = [measured_curve(result) for result in results]
    anchor = next((curve for curve in curves if curve.name == options.anchor), None)
    if anchor is None:
        names = ", ".join(curve.name for curve in curves)
        raise InputError(
            f"The anchor {options.anchor} is not among the results ({names}). Add its file, or "
            "name another by --anchor."
        )
    if all(is_on_kodak(result) for result in results):
        names = [CODECS[curve.codec].published for curve in curves]
        published = [published_curve(name) for name in names if name]
        curves += [c for c in published if not np.isnan(c.in_db(options.metric)).all()]
    changes = [curve.bd_rate(anchor, options.metric) for curve in curves]
    plots.use_course_style()
    figure = plots.plot_rate_distortion(
        [curve for curve in curves if not curve.name.startswith(OUR_OWN)],
        options.metric,
        _title(anchor, zip(curves[: len(results)], changes, strict=False), options.metric),
    )
    if options.max_bpp:
        (axes,) = figure.axes
        reached = [np.interp(options.max_bpp, *line.get_data()) for line in axes.lines]
        axes.set(xlim=(0, options.max_bpp), ylim=(None, np.nanmax(reached) + 0.5))
    buffer = BytesIO()
    figure.savefig(buffer, format=suffix[1:])
    plt.close(figure)
    atomic_write(Path(options.out), buffer.getvalue())
    print(f"BD-rate against {options.anchor}, at equal {options.metric.upper()}:")
    for curve, change in zip(curves, changes, strict=True):
        text = "no overlap" if change is None else f"{change:+7.1f} %"
        print(f"  {curve.name:32} {'published' if curve.published else 'measured':10} {text}")


def _title(anchor, changes, metric: str) -> str:
    """What the figure shows: how many bits each curve needs against the anchor, the fewest first.

    ``changes`` are pairs of a curve and its BD-rate, None where it has none.
    """
    from textwrap import fill

    from course_lib.plots import codec_style

    known = [(rate, curve.codec) for curve, rate in changes if curve is not anchor]
    parts = [
        f"{codec_style(codec)['label']} {rate:+.0f}\N{NO-BREAK SPACE}%".replace(
            " -", " \N{MINUS SIGN}"
        )
        for rate, codec in sorted(pair for pair in known if pair[0] is not None)
    ]
    label = codec_style(anchor.codec)["label"]
    return fill(f"Bits at equal {metric.upper()}, against {label}: {', '.join(parts)}", 62)
