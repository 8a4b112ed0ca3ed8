"""`course train`: weights for a codec."""

import sys


def add_commands(commands) -> None:
    parser = commands.add_parser(
        "train",
        help="train a codec, or go on with a run",
        epilog="On several GPUs: torchrun --nproc-per-node=8 -m course_lib.cli train …",
    )
    parser.add_argument("model", choices=["balle2017"])
    parser.add_argument("--lmbda", type=float, required=True, help="weight of the distortion")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="of computing")
    budget.add_argument("--steps", type=int)
    parser.add_argument("--metric", choices=["mse", "ms-ssim"], default="mse")
    parser.add_argument("--start", metavar="FILE", help="weights to start from, of another λ, say")
    parser.add_argument("--images", default="train", metavar="SET", help="train, or a folder")
    parser.add_argument("--valid", default="valid", metavar="SET", help="valid, or a folder")
    parser.add_argument("--out", metavar="DIR", help="of the run; runs/MODEL-METRIC-λ by default")
    parser.add_argument("--channels", type=int, default=96, help="of the hidden layers")
    parser.add_argument("--latents", type=int, default=192, help="channels of the latents")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--patch-size", type=int, default=128, help="192 at least for ms-ssim")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", type=int, help="of a batch; as many as there are processes")
    parser.add_argument("--compile", action="store_true", help="torch.compile, for long GPU runs")
    parser.set_defaults(run=_train)


def _train(options) -> None:
    import os
    import shlex
    from pathlib import Path

    from course_lib import training
    from course_lib.coder import save_tiled_coder
    from course_lib.device import seed_everything
    from course_lib.images import image_set
    from course_lib.losses import rate_distortion

    seed_everything(options.seed)
    config = training.TrainingConfig(
        steps=options.steps,
        minutes=options.minutes,
        batch_size=options.batch_size,
        patch_size=options.patch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
        num_parts=options.parts or int(os.environ.get("WORLD_SIZE", "1")),
        compile=options.compile,
    )
    recipe = {
        name: getattr(options, name)
        for name in ("model", "lmbda", "metric", "start", "images", "channels", "latents")
    }
    name = f"{options.model}-{options.metric}-{options.lmbda:g}"
    folder = Path(options.out or Path("runs") / name)
    images = training.load_images(image_set(options.images))
    valid_images = training.load_images(image_set(options.valid))
    with training.processes() as device:
        model = _new_model(options, training.random_crops(images, 128, 256, seed=options.seed))

        def objective(model, x):
            output = model(x)
            bits, x_hat = output.bits, output.x_hat
            return rate_distortion(bits, x_hat, x, options.lmbda, options.metric)

        model = training.train(
            model,
            objective,
            images,
            config,
            folder,
            valid_images=valid_images,
            recipe=recipe,
            device=device,
        )
        if training.is_first_process():
            last = training.read_log(folder)[-1]
            path = folder / "weights.safetensors"
            about = recipe | {"command": shlex.join(["course", *sys.argv[1:]]), "result": last}
            sha256 = save_tiled_coder(path, model, about)
            print(f"{path}\nSHA-256 {sha256}")
            print(", ".join(f"{key} {value:.5g}" for key, value in last.items()))


def _new_model(options, x):
    """A model from the weights in ``--start``, retargeted, or from PCA of pictures."""
    from pathlib import Path

    from course_lib.models import balle2017
    from course_lib.pca_start import start_from_pca
    from course_lib.weights import load_model, load_weights

    if options.start is None:
        model = balle2017.build(num_channels=options.channels, num_latents=options.latents)
        # The usual ladders (CompressAI) pair λ on MSE with 1300 λ on 1 − MS-SSIM.
        lmbda = options.lmbda if options.metric == "mse" else options.lmbda / 1300
        start_from_pca(model, x.float() / 255, lmbda)
        return model
    weights = load_weights(Path(options.start))
    model = load_model(weights, "balle2017", balle2017.build)
    if weights.about["metric"] == options.metric:
        model.retarget(options.lmbda / weights.about["lmbda"])
    return model
