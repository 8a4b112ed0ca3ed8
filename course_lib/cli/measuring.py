"""`course evaluate` and `plot`: rates and distortions, and their curves."""

from course_lib.errors import InputError
from course_lib.ranges import number, whole


def add_commands(commands) -> None:
    parser = commands.add_parser("evaluate", help="rate and distortion over a set of images")
    parser.add_argument("--codecs", required=True, nargs="+", metavar="NAME")
    parser.add_argument(
        "--images", required=True, metavar="SET", help="kodak, valid, train, or a folder"
    )
    parser.add_argument(
        "--qualities",
        nargs="+",
        type=whole(least=0, most=16_383),  # the codec's ladder is held against it
        metavar="Q",
        help="default: a ladder",
    )
    parser.add_argument(
        "--workers",
        type=whole(least=1, most=1024),
        metavar="N",
        help="images at a time (all cores); 1 to compare times",
    )
    parser.add_argument("--out", metavar="DIR", help="where SET-NAME.json goes (data/results)")
    parser.set_defaults(run=_evaluate)

    parser = commands.add_parser("plot", help="draw measured and published curves; BD-rates")
    parser.add_argument("results", nargs="+", metavar="FILE", help="written by course evaluate")
    parser.add_argument("-o", dest="out", required=True, metavar="PICTURE", help="a .png or .svg")
    parser.add_argument("--metric", choices=("psnr", "ms-ssim"), default="psnr")
    parser.add_argument("--anchor", default="jpeg-plain", metavar="NAME", help="of the BD-rates")
    parser.add_argument(
        "--max-bpp",
        type=number(above=0, most=10**6),
        metavar="R",
        help="draw rates up to this one",
    )
    parser.set_defaults(run=_plot)


def _evaluate(options) -> None:
    from pathlib import Path

    from course_lib.codecs import load_codec, measured_at
    from course_lib.evaluation import evaluate
    from course_lib.images import image_set
    from course_lib.paths import data_dir
    from course_lib.results import place_of

    ladders = {name: options.qualities or measured_at(name) for name in options.codecs}
    for name, qualities in ladders.items():  # before hours of work, not after
        for quality in qualities:
            load_codec(name, quality)
    images = image_set(options.images)
    folder = Path(options.out) if options.out else data_dir() / "results"
    pictures = Path(options.images).resolve().name or "pictures"
    for name, qualities in ladders.items():
        out = folder / f"{pictures}-{name}.json"
        results = evaluate(name, qualities, images, out, options.workers)
        print(f"{place_of(out, results['settings'])}: {len(images)} images", flush=True)


def _plot(options) -> None:
    from io import BytesIO
    from pathlib import Path

    import matplotlib.pyplot as plt

    from course_lib import plots
    from course_lib.evaluation import OUR_OWN, measured_curve
    from course_lib.paths import atomic_write
    from course_lib.results import load_results

    suffix = Path(options.out).suffix.lower()
    if suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"Cannot draw {options.out}; expected a name in .png, .svg or .pdf.")
    results = {path: load_results(Path(path)) for path in options.results}
    _need_one_set(results)
    curves = [measured_curve(result) for result in results.values()]
    anchor = next((curve for curve in curves if curve.name == options.anchor), None)
    if anchor is None:
        names = ", ".join(curve.name for curve in curves)
        raise InputError(
            f"The anchor {options.anchor} is not among the results ({names}). Add its file, or "
            "name another by --anchor."
        )
    _name_what_is_not_drawn(results, options.metric)
    measured = len(curves)
    curves += _published(results.values(), curves, options.metric)
    compared = [curve.compare(anchor, options.metric) for curve in curves]
    rates = [comparison.rate for comparison in compared[:measured]]
    plots.use_course_style()
    figure = plots.plot_rate_distortion(
        [curve for curve in curves if not curve.name.startswith(OUR_OWN)],
        options.metric,
        _title(anchor, zip(curves[:measured], rates, strict=True), options.metric),
    )
    if options.max_bpp:
        _end_at(figure, options.max_bpp)
    buffer = BytesIO()
    figure.savefig(buffer, format=suffix[1:])
    plt.close(figure)
    atomic_write(options.out, buffer.getvalue())
    print(f"BD-rate against {options.anchor}, at equal {options.metric.upper()}:")
    for curve, (rate, note) in zip(curves, compared, strict=True):
        source = "published" if curve.published else "measured"
        text = note if rate is None else f"{rate:+7.1f} %{f'  ({note})' if note else ''}"
        print(f"  {curve.name:32} {source:10} {text}")


def _need_one_set(results) -> None:
    """Refuse files of results on different pictures; warn of those that do not say on which."""
    import warnings

    from course_lib.errors import CourseWarning
    from course_lib.results import PICTURES

    known = {path: result["settings"].get(PICTURES) for path, result in results.items()}
    told = [path for path in known if known[path]]
    for path in told:
        if known[path] != known[told[0]]:
            first, other = (len(results[p]["settings"]["images"]) for p in (told[0], path))
            raise InputError(
                f"{told[0]} and {path} were measured on different pictures ({first} and {other} of "
                "them), so their rates do not compare. Measure both on the same: course evaluate."
            )
    for path in known.keys() - set(told) if len(known) > 1 else ():
        warnings.warn(
            f"{path} does not say by {PICTURES} on which pictures it was measured: its rates "
            "compare if they were the same.",
            CourseWarning,
            stacklevel=2,
        )


def _name_what_is_not_drawn(results, metric: str) -> None:
    """Say which points have no finite value, and why."""
    import warnings

    from course_lib.errors import CourseWarning

    key = "psnr" if metric == "psnr" else "ms_ssim"
    for path, result in results.items():
        without = [p["quality"] for p in result["points"] if p[key] is None]
        if metric == "psnr":
            why = "decodes a picture exactly, so that the mean PSNR is infinite"
        elif without:
            why = "has no MS-SSIM, since a picture is under 161 pixels"
        else:
            without = [p["quality"] for p in result["points"] if p[key] == 1]
            why = "has an MS-SSIM of 1, which is infinitely many decibels"
        if without:
            qualities = ", ".join(map(str, without[:5])) + ", …" * (len(without) > 5)
            warnings.warn(
                f"{path}: quality {qualities} {why}: not drawn, nor compared.",
                CourseWarning,
                stacklevel=2,
            )


def _published(results, curves, metric: str) -> list:
    """What was published of the codecs that were measured, if that was on the Kodak pictures."""
    import numpy as np

    from course_lib.codecs import CODECS
    from course_lib.evaluation import is_on_kodak, published_curve

    if not all(map(is_on_kodak, results)):
        return []
    rows = [CODECS[curve.codec] for curve in curves if curve.codec in CODECS]
    published = [published_curve(name) for name in dict.fromkeys(r.published for r in rows) if name]
    return [curve for curve in published if not np.isnan(curve.in_db(metric)).all()]


def _end_at(figure, max_bpp: float) -> None:
    """Let the axes end at a rate, and a little above what the curves reach there."""
    import numpy as np

    (axes,) = figure.axes
    lines = [np.array(line.get_data(), np.float64) for line in axes.lines]
    finite = [(x[np.isfinite(y)], y[np.isfinite(y)]) for x, y in lines]
    reached = [np.interp(max_bpp, x, y) for x, y in finite if len(x)]
    axes.set(xlim=(0, max_bpp), ylim=(None, max(reached) + 0.5 if reached else None))


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
    told = ", ".join(parts) or "nothing that compares"
    return fill(f"Bits at equal {metric.upper()}, against {label}: {told}", 62)
