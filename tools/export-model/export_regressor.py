"""Trains a small linear regression on the node's own features and writes model.onnx with its manifest model.json.

It forecasts the log return of the close over `--horizon` hours. The features come from `sentinel features`, as for
export_model.py, whose reader and statistics it shares. Ridge regression has a closed form: the same input gives the same bytes.
"""

import argparse
import math
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from export_model import CLIP, UsageError, period, read_csv, refuse_parts, statistics
from graph import answers_of, regression, write_pair

COLUMNS = {
    "btc9": [
        "ret_1h", "ret_24h", "ma_24h", "ma_72h", "vol_24h", "price_pos_24h", "price_pos_72h", "ma_ratio_72_24",
        "exp_vol_ratio",
    ],
}  # fmt: skip

# Averages of the price itself say which year it is. They stay inputs, with weight zero.
LEVELS = {"btc9": (2, 3)}


def main():
    try:
        print(run(arguments()))
    except UsageError as error:
        sys.exit(f"export_regressor: {error}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", required=True, help="CSV of `sentinel features --set btc9 --window 200`")
    parser.add_argument("--bars", required=True, help="the CSV of hourly bars that the features were computed from")
    parser.add_argument("--output", default="model.onnx", help="model file; the manifest is written beside it as .json")
    parser.add_argument("--set", default="btc9", choices=sorted(COLUMNS), help="feature set of the CSV")
    parser.add_argument("--window", type=int, default=200, help="window that the features were computed with")
    parser.add_argument("--made-from", help="length of the bars that the bars were made from, like 1m; absent: as delivered")
    parser.add_argument("--horizon", type=int, default=168, help="hours ahead that is forecast")
    parser.add_argument("--train-share", type=float, default=0.7, help="share of the rows, from the start, to train on")
    parser.add_argument("--ridge", type=float, default=0.1, help="penalty on the weights, as a share of the rows")
    return parser.parse_args()


def run(args):
    if args.horizon < 1 or not 0.0 < args.train_share < 1.0 or args.ridge < 0.0:
        raise UsageError("--horizon must be at least 1, --train-share between 0 and 1, --ridge not negative")
    times, rows, targets = labelled(args)
    split = int(len(rows) * args.train_share)
    # The embargo: targets of the last rows before the split look at bars behind it.
    train, unseen = slice(0, split - args.horizon), slice(split, len(rows))
    if split - args.horizon < 100 or len(rows) - split < 100:
        raise UsageError(f"{len(rows)} labelled rows are too few: at least 100 are needed on each side of the split")

    mean, inverse_std = statistics(rows[train], LEVELS[args.set])
    weight, bias = fit(np.clip((rows[train] - mean) * inverse_std, -CLIP, CLIP), targets[train], args.ridge)
    model = regression(mean, inverse_std, CLIP, weight, bias)
    # Everything below is measured on the written graph, as the node will run it.
    answers = np.array(answers_of(model, rows))[:, 0]
    errors = {part: (rmse(answers[rows_], targets[rows_]), rmse(0.0, targets[rows_]))
              for part, rows_ in (("trained", train), ("unseen", unseen))}  # fmt: skip
    manifest = {
        "features": {"set": args.set, "window": args.window, "columns": COLUMNS[args.set]}
        | ({"made_from": args.made_from} if args.made_from else {}),
        "input": "row",
        "horizon_s": args.horizon * 3600,
        "trained": period(times[train]),
        "out_of_sample": period(times[unseen])
        | {"rmse": round(errors["unseen"][0], 5), "rmse_of_zero": round(errors["unseen"][1], 5), "note": note(args, errors)},
    }
    picks = dict.fromkeys([int(answers.argmin()), int(answers.argmax()), int(np.abs(answers).argmin()), 0])
    write_pair(args.output, model, manifest, [rows[index] for index in picks])
    return f"{args.output}: {Path(args.output).stat().st_size} bytes\n{manifest['out_of_sample']['note']}"


def labelled(args):
    """Times, feature rows and log returns of the rows whose hour, a horizon later, is there too."""
    bars = read_csv(args.bars, ["timestamp", "open", "high", "low", "close"])
    features = read_csv(args.features, ["timestamp", *COLUMNS[args.set]], skip_incomplete=True)
    refuse_parts(args, bars, features)
    instant_of = [datetime.fromisoformat(time) for time in bars.times]
    index_at = {instant: index for index, instant in enumerate(instant_of)}
    index_of = {time: index for index, time in enumerate(bars.times)}
    close = bars.values[:, 3]
    keep, targets = [], []
    for row, time in enumerate(features.times):
        bar = index_of.get(time)
        if bar is None:
            raise UsageError(f"{args.features}: {time} is not a bar of {args.bars}: export the features of these bars again")
        later = index_at.get(instant_of[bar] + timedelta(hours=args.horizon))
        if bar < args.window - 1 or later is None:
            continue
        keep.append(row)
        targets.append(math.log(close[later] / close[bar]))
    return [features.times[row] for row in keep], features.values[keep], np.array(targets)


def fit(scaled, targets, ridge):
    """Weights and bias of the ridge regression; the bias is not penalised."""
    centre, middle = scaled.mean(axis=0), targets.mean()
    gram = (scaled - centre).T @ (scaled - centre)
    penalty = ridge * len(scaled) * np.eye(len(gram))
    weight = np.linalg.solve(gram + penalty, (scaled - centre).T @ (targets - middle))
    return weight.reshape(-1, 1), np.array([middle - centre @ weight])


def rmse(answers, targets):
    return float(np.sqrt(np.mean((answers - targets) ** 2)))


def note(args, errors):
    (trained, trained_zero), (unseen, unseen_zero) = errors["trained"], errors["unseen"]
    verdict = (
        "On the unseen part it errs less than forecasting zero, on this one split: that alone is no evidence of skill."
        if unseen < unseen_zero
        else "On the unseen part it errs more than forecasting zero: it has no skill. Do not stake anything on it."
    )
    return (
        f"{verdict} Root mean squared error over {args.horizon} h: {unseen:.4f} unseen (zero: {unseen_zero:.4f}), {trained:.4f}"
        f" trained (zero: {trained_zero:.4f}). Neighbouring targets overlap, so the rows are far from independent. Embargo"
        f" {args.horizon} rows."
    )


if __name__ == "__main__":
    main()
