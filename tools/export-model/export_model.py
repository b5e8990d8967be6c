"""Trains a small network on the node's own features and writes model.onnx with its manifest model.json.

The features come from `sentinel features`, never from here: one feature code computes what a model is trained on and what
it is asked live. This file knows labels, the split by time, a small network, and how to say honestly how good it is.

Label of a bar: the return of the close over the next `--horizon` bars. Above `--threshold` it is the last class (BUY), below
minus the threshold the first (SELL), else the middle one (HOLD).
"""

import argparse
import csv
import math
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from graph import answers_of, network, write_pair

COLUMNS = {"fx23": 23}

# Price and volume levels: an average of EURUSD in spring says which month it is, not what comes next, and lies outside the
# training range in autumn. They stay inputs of the model, so that its row is the node's row, with weight zero.
LEVELS = {"fx23": (3, 4, 5, 6, 16, 22)}

# A standardised value further out than this is a state that the training part never showed.
CLIP = 5.0


class UsageError(Exception):
    """Something that the caller can put right; the text says what."""


@dataclass
class Table:
    times: list
    values: np.ndarray


def main():
    try:
        print(run(arguments()))
    except UsageError as error:
        sys.exit(f"export_model: {error}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", required=True, help="CSV of `sentinel features --set fx23 --window 200`")
    parser.add_argument("--bars", required=True, help="the CSV of bars that the features were computed from")
    parser.add_argument("--output", default="model.onnx", help="model file; the manifest is written beside it as .json")
    parser.add_argument("--set", default="fx23", choices=sorted(COLUMNS), help="feature set of the CSV")
    parser.add_argument("--window", type=int, default=200, help="window that the features were computed with")
    parser.add_argument("--classes", default="SELL,HOLD,BUY", help="names of the three classes, in the order of the outputs")
    parser.add_argument("--made-from", help="length of the bars that the bars were made from, like 1m; absent: as delivered")
    parser.add_argument("--horizon", type=int, default=4, help="bars ahead that the label looks")
    parser.add_argument("--threshold", type=float, default=0.0005, help="return beyond which a move counts, as a fraction")
    parser.add_argument("--train-share", type=float, default=0.7, help="share of the rows, from the start, to train on")
    parser.add_argument("--hidden", type=int, default=16, help="width of the hidden layer; 0 makes a linear model")
    parser.add_argument("--epochs", type=int, default=150, help="passes over the training rows")
    parser.add_argument("--decay", type=float, default=0.02, help="weight decay")
    parser.add_argument("--seed", type=int, default=7, help="start of the random numbers")
    parser.add_argument("--act-share", type=float, help="sharpen or flatten the confidence until this share of the training"
                        " rows would act; without it the probabilities stay as trained")  # fmt: skip
    parser.add_argument("--act-above", type=float, default=0.6, help="confidence above which the node acts")
    return parser.parse_args()


def run(args):
    classes = [name.strip() for name in args.classes.split(",")]
    if len(classes) != 3 or len(set(classes)) != 3 or not all(classes):
        raise UsageError("--classes needs three different names, for example SELL,HOLD,BUY")
    if args.horizon < 1 or not 0.0 < args.train_share < 1.0 or args.threshold < 0.0:
        raise UsageError("--horizon must be at least 1, --train-share between 0 and 1, --threshold not negative")
    times, rows, labels = labelled(args)
    split = int(len(rows) * args.train_share)
    # The embargo: labels of the last rows before the split look at bars behind it.
    train, unseen = slice(0, split - args.horizon), slice(split, len(rows))
    if split - args.horizon < 100 or len(rows) - split < 100:
        raise UsageError(f"{len(rows)} labelled rows are too few: at least 100 are needed on each side of the split")

    mean, inverse_std = statistics(rows[train], LEVELS[args.set])
    scaled = np.clip((rows - mean) * inverse_std, -CLIP, CLIP)
    layers = fit(scaled[train], labels[train], args)
    if args.act_share is not None:
        layers = with_act_share(layers, scaled[train], args.act_share, args.act_above)

    model = network(mean, inverse_std, CLIP, layers)
    # Everything below is measured on the written graph, as the node will run it.
    answers = np.array(answers_of(model, rows))
    out_of_sample = figures(answers, labels, train, unseen)
    out_of_sample["note"] = note(args, out_of_sample, answers, labels, train, unseen)
    manifest = {
        "features": {"set": args.set, "window": args.window, "columns": [f"feature_{i}" for i in range(COLUMNS[args.set])]}
        | ({"made_from": args.made_from} if args.made_from else {}),
        "input": "row",
        "classes": classes,
        "trained": period(times[train]),
        "out_of_sample": period(times[unseen]) | out_of_sample,
    }
    write_pair(args.output, model, manifest, probe_rows(rows, answers))
    return summary(args.output, manifest)


def labelled(args):
    """Times, feature rows and labels of the rows whose label can be known."""
    bars = read_csv(args.bars, ["timestamp", "open", "high", "low", "close"])
    names = [f"feature_{i}" for i in range(COLUMNS[args.set])]
    features = read_csv(args.features, ["timestamp", *names], skip_incomplete=True)
    refuse_parts(args, bars, features)
    index_of = {time: index for index, time in enumerate(bars.times)}
    close = bars.values[:, 3]
    keep, labels = [], []
    for row, time in enumerate(features.times):
        bar = index_of.get(time)
        if bar is None:
            raise UsageError(f"{args.features}: {time} is not a bar of {args.bars}: export the features of these bars again")
        # A row with less history than the window is none that the node would ask about; the newest have no label yet.
        if bar < args.window - 1 or bar + args.horizon >= len(close):
            continue
        change = close[bar + args.horizon] / close[bar] - 1.0
        keep.append(row)
        labels.append(2 if change > args.threshold else 0 if change < -args.threshold else 1)
    return [features.times[row] for row in keep], features.values[keep], np.array(labels)


def refuse_parts(args, bars, features):
    """Labels of made bars come from the made bars: counted in their parts, the horizon would be another."""

    def spacing(times):
        return np.median(np.diff([datetime.fromisoformat(time).timestamp() for time in times]))

    if spacing(bars.times) < spacing(features.times):
        raise UsageError(f"{args.bars} has shorter bars than {args.features}: give what `sentinel features --made-bars` wrote")


def read_csv(path, columns, skip_incomplete=False):
    """The named columns, in this order, the times ascending. Rows of the warm-up have empty cells; they can be skipped."""
    try:
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or [])]
            if missing:
                raise UsageError(f"{path}: column '{missing[0]}' is missing: is it the right file?")
            records = list(reader)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    times, values = [], []
    for line, record in enumerate(records, start=2):
        time = record["timestamp"]
        if skip_incomplete and "" in record.values():
            continue
        try:
            instant = datetime.fromisoformat(time)
            row = [float(record[name]) for name in columns[1:]]
        except (TypeError, ValueError) as error:
            raise UsageError(f"{path}: line {line}: {error}: every cell needs a value; export it again") from error
        if not all(map(math.isfinite, row)):
            raise UsageError(f"{path}: line {line}: a value is not finite; export it again")
        if times and instant <= datetime.fromisoformat(times[-1]):
            raise UsageError(f"{path}: line {line}: {time} is not after the line before it: sort the file by timestamp")
        times.append(time)
        values.append(row)
    if not values:
        raise UsageError(f"{path}: has no complete rows: is it the right file?")
    return Table(times, np.array(values))


def statistics(rows, levels):
    """Mean and 1/deviation of the training rows; 0 for columns that say nothing and for levels."""
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    varies = deviation > 1e-12 * np.maximum(1.0, np.abs(mean))
    varies[list(levels)] = False
    # float32 here already: training and node then see the same rounded inputs.
    return mean.astype(np.float32), np.where(varies, 1.0 / np.where(varies, deviation, 1.0), 0.0).astype(np.float32)


def fit(rows, labels, args):
    """Adam with decoupled weight decay on the whole training part; the same seed gives the same bytes."""
    random = np.random.default_rng(args.seed)
    sizes = [rows.shape[1], *([args.hidden] if args.hidden else []), 3]
    layers = [(random.normal(size=(a, b)) * math.sqrt(2.0 / a), np.zeros(b)) for a, b in zip(sizes, sizes[1:])]
    parameters = [array for layer in layers for array in layer]
    first, second = [np.zeros_like(p) for p in parameters], [np.zeros_like(p) for p in parameters]
    wanted = np.eye(3)[labels]
    rate, step = 0.01, 0
    for _ in range(args.epochs):
        for batch in np.array_split(random.permutation(len(rows)), max(1, len(rows) // 256)):
            step += 1
            for i, gradient in enumerate(gradients(parameters, rows[batch], wanted[batch])):
                first[i] = 0.9 * first[i] + 0.1 * gradient
                second[i] = 0.999 * second[i] + 0.001 * gradient**2
                move = first[i] / (1 - 0.9**step) / (np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8)
                decay = args.decay * parameters[i] if parameters[i].ndim == 2 else 0.0
                parameters[i] = parameters[i] - rate * (move + decay)
    return list(zip(parameters[::2], parameters[1::2]))


def gradients(parameters, rows, wanted):
    layers = list(zip(parameters[::2], parameters[1::2]))
    inputs = [rows]
    for weight, bias in layers[:-1]:
        inputs.append(np.maximum(inputs[-1] @ weight + bias, 0.0))
    error = (softmax(inputs[-1] @ layers[-1][0] + layers[-1][1]) - wanted) / len(rows)
    found = []
    for (weight, _), given in zip(reversed(layers), reversed(inputs)):
        found = [given.T @ error, error.sum(axis=0), *found]
        error = (error @ weight.T) * (given > 0.0)
    return found


def scores(layers, scaled):
    for weight, bias in layers[:-1]:
        scaled = np.maximum(scaled @ weight + bias, 0.0)
    return scaled @ layers[-1][0] + layers[-1][1]


def softmax(values):
    values = np.exp(values - values.max(axis=-1, keepdims=True))
    return values / values.sum(axis=-1, keepdims=True)


def acts(answers, above):
    """Which rows the node would act on: a winner other than the middle class, surer than `above`."""
    return (answers.argmax(axis=1) != 1) & (answers.max(axis=1) > above)


def with_act_share(layers, scaled, share, above):
    """Scales the last layer until `share` of the rows acts. Changes how sure the model sounds, never which class wins."""
    raw, low, high = scores(layers, scaled), 1e-3, 1e3
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if acts(softmax(raw * middle), above).mean() > share else (middle, high)
    weight, bias = layers[-1]
    return [*layers[:-1], (weight * low, bias * low)]


def figures(answers, labels, train, unseen):
    right = answers[unseen][np.arange(len(labels[unseen])), labels[unseen]]
    commonest = np.bincount(labels[train], minlength=3).argmax()
    return {
        "accuracy": round(float((answers[unseen].argmax(axis=1) == labels[unseen]).mean()), 4),
        "majority_class_accuracy": round(float((labels[unseen] == commonest).mean()), 4),
        "log_loss": round(float(-np.log(np.maximum(right, 1e-12)).mean()), 4),
    }


def note(args, measured, answers, labels, train, unseen):
    shares = np.maximum(np.bincount(labels[train], minlength=3) / len(labels[train]), 1e-12)
    constant = float(-np.log(shares[labels[unseen]]).mean())
    verdict = (
        "Its log loss beats the training shares on this one split, before costs: that alone is no evidence of an edge."
        if measured["log_loss"] < constant
        else "Its log loss is worse than always answering the training shares: it has no edge. Do not trade money with it."
    )
    confidence = (
        ""
        if args.act_share is None
        else f" Its confidence was scaled so that about {args.act_share:.1%} of the training rows act: it is no calibrated"
        " probability."
    )
    trained, acted = (acts(answers[part], args.act_above) for part in (train, unseen))
    label = labels[unseen][acted]
    right = int((answers[unseen][acted].argmax(axis=1) == label).sum())
    flat = int((label == 1).sum())
    return (
        f"{verdict} Log loss of the training shares: {constant:.4f}. Label: close {args.horizon} bars ahead, threshold"
        f" {args.threshold:g}, embargo {args.horizon} rows.{confidence} Rows that act above {args.act_above:g}: {trained.sum()}"
        f" of {len(trained)} trained, {acted.sum()} of {len(acted)} unseen; of the unseen ones {right} were right,"
        f" {len(label) - right - flat} wrong, {flat} moved less than the threshold."
    )


def period(times):
    return {"rows": len(times), "from": times[0], "to": times[-1]}


def probe_rows(rows, answers):
    """The surest row of each class and the least sure row: four corners of what the model can answer."""
    picks = [int(answers[:, label].argmax()) for label in range(3)] + [int(answers.max(axis=1).argmin())]
    return [rows[index] for index in dict.fromkeys(picks)]


def summary(output, manifest):
    unseen = manifest["out_of_sample"]
    return (
        f"{output}: {Path(output).stat().st_size} bytes, trained on {manifest['trained']['rows']} rows, unseen {unseen['rows']}:"
        f" accuracy {unseen['accuracy']} (always the commonest class: {unseen['majority_class_accuracy']}),"
        f" log loss {unseen['log_loss']}\n{unseen['note']}"
    )


if __name__ == "__main__":
    main()
