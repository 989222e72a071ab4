"""What lm-eval's own code says about generated answers. Run by `check-answers`, with lm-eval's Python.

    lm_eval_verdicts.py FOLDER --ifeval input_data.jsonl --seed 1 --answers 8 --sums 2000

Writes `ifeval.jsonl` and `filters.jsonl` into the folder: one scored answer a line.
"""

import argparse
import json
import logging
import random
from pathlib import Path

import answer_texts
import langdetect
import yaml
from langdetect import DetectorFactory
from lm_eval import tasks
from lm_eval.api.metrics import exact_match_fn
from lm_eval.filters import build_filter_ensemble
from lm_eval.tasks.ifeval import utils


class Instance:
    """The part of lm-eval's instance that filters see."""

    def __init__(self, responses):
        self.resps, self.doc, self.filtered_resps = responses, {}, {}


def write(path, rows):
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def drawn(kind, args):
    """Whether lm-eval draws this instruction's letter at random."""
    letter = args.get("letter") or ""
    return kind == "keywords:letter_frequency" and not ("a" <= letter.lower() <= "z")


def judged(item, response):
    DetectorFactory.seed = 0
    verdict = utils.process_results(item, [response])
    DetectorFactory.seed = None
    unseeded = utils.process_results(item, [response])["inst_level_strict_acc"]
    DetectorFactory.seed = 0
    kinds = list(zip(item["instruction_id_list"], item["kwargs"]))
    known = [not drawn(kind, args) for kind, args in kinds]
    return {
        "ids": item["instruction_id_list"],
        "kwargs": [{k: v for k, v in args.items() if v} for _, args in kinds],
        "response": response,
        # Null where the verdict is a throw of dice.
        "strict": [v if k else None for v, k in zip(verdict["inst_level_strict_acc"], known)],
        "loose": [v if k else None for v, k in zip(verdict["inst_level_loose_acc"], known)],
        "unseeded": [v if k else None for v, k in zip(unseeded, known)],
    }


def ifeval_rows(rng, items, answers):
    for item in items:
        for response in answer_texts.ifeval_answers(rng, item, answers):
            yield judged(item, response)


def filtered(steps, responses):
    """What a pipeline leaves of an item's samples: lm-eval's answer, or the error it ends with."""
    parts = [(step["function"], {k: v for k, v in step.items() if k != "function"}) for step in steps]
    instance = Instance(responses)
    try:
        build_filter_ensemble("x", parts).apply([instance])
    except (IndexError, AssertionError) as error:
        return None, type(error).__name__
    left = instance.filtered_resps["x"]
    return str(left[0] if isinstance(left, list) else left), None


def scored(steps, options, responses, reference):
    answer, error = filtered(steps, responses)
    match = None if error else bool(exact_match_fn(predictions=[answer], references=[reference], **options)["exact_match"])
    return {"filter": steps, "options": options, "responses": responses, "reference": reference,
            "answer": answer, "match": match, "error": error}


class Loader(yaml.SafeLoader):
    """Reads task files whatever they refer to."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def task_pipelines():
    """Every pipeline of filters, and every way of matching, in lm-eval's task files."""
    known = {"regex", "take_first", "take_first_k", "remove_whitespace", "lowercase", "uppercase", "map", "majority_vote"}
    pipelines, matchings = {}, {}
    for path in sorted(Path(tasks.__file__).parent.rglob("*.yaml")):
        task = yaml.load(path.read_text(encoding="utf-8"), Loader)
        if not isinstance(task, dict):
            continue
        for pipeline in task.get("filter_list") or []:
            steps = pipeline.get("filter") or []
            if steps and all(step.get("function") in known for step in steps):
                pipelines.setdefault(json.dumps(steps, sort_keys=True), steps)
        for metric in task.get("metric_list") or []:
            if metric.get("metric") == "exact_match":
                names = ["ignore_case", "ignore_punctuation", "ignore_numbers", "regexes_to_ignore"]
                options = {name: metric[name] for name in names if metric.get(name) is not None}
                matchings.setdefault(json.dumps(options, sort_keys=True), options)
    return list(pipelines.values()), list(matchings.values())


def gsm8k():
    task = yaml.load((Path(tasks.__file__).parent / "gsm8k" / "gsm8k.yaml").read_text(), Loader)
    metric = task["metric_list"][0]
    names = ["ignore_case", "ignore_punctuation", "regexes_to_ignore"]
    return [p["filter"] for p in task["filter_list"]], {name: metric[name] for name in names}


def own_pipelines():
    """Pipelines and ways of matching that use every filter and every option."""
    pattern = {"function": "regex", "regex_pattern": r"(?i)answer\w*\s*(?:is)?:?\s*([^\s.]+)|(\d+)$", "group_select": -1}
    pipelines = [
        [pattern, {"function": "take_first"}],
        [{"function": "regex", "regex_pattern": r"\b\w*5\b|^", "fallback": " none "}, {"function": "uppercase"}, {"function": "take_first"}],
        [{"function": "lowercase"}, {"function": "remove_whitespace"}, {"function": "take_first"}],
        [{"function": "take_first_k", "k": 3}, {"function": "regex", "regex_pattern": r"[\d,]*\d"}, {"function": "majority_vote"},
         {"function": "take_first"}],
        [{"function": "regex", "regex_pattern": "Yes|yes|True"}, {"function": "map", "mapping_dict": {"Yes": 1, "yes": 1}, "default_value": 0},
         {"function": "take_first"}],
    ]
    matchings = [{}, {"ignore_case": True}, {"ignore_punctuation": True}, {"ignore_numbers": True, "regexes_to_ignore": ["^\\s+", "\\s+$", "\\$"]}]
    return pipelines, matchings


def filter_rows(rng, sums, own):
    pipelines, options = gsm8k()
    answers = list(answer_texts.sum_answers(rng, sums))
    for reference, text in answers:
        for steps in pipelines:
            yield {"suite": "gsm8k", **scored(steps, options, [text], reference)}
    others, matchings = own_pipelines() if own else task_pipelines()
    texts = [text for _, text in answers]
    for steps in others:
        wanted = max([step.get("k", 1) for step in steps])
        for text in answer_texts.shorter(rng, texts, 12):
            responses = [text] + [rng.choice(texts) for _ in range(wanted - 1)]
            answer, _ = filtered(steps, responses)
            reference = rng.choice([answer or "", rng.choice(texts)])
            yield {"suite": "pipelines", **scored(steps, rng.choice(matchings), responses, reference)}
    for options in matchings:
        for text in answer_texts.shorter(rng, texts, 12):
            reference = rng.choice([text, text.upper(), text.strip(), text.replace(",", ""), f" {text}."])
            yield {"suite": "matching", **scored([{"function": "take_first"}], options, [text], reference)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ifeval", type=Path, help="the data file, in its original format; items of our own without it")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--answers", type=int, required=True, help="answers to each of IFEval's prompts, at least 2")
    parser.add_argument("--sums", type=int, required=True, help="answers to sums")
    args = parser.parse_args()
    logging.disable(logging.ERROR)
    random.seed(args.seed)
    assert langdetect.detect(answer_texts.LANGUAGES["de"]) == "de"
    items = answer_texts.own_items()
    if args.ifeval:
        items = [json.loads(line) for line in args.ifeval.read_text(encoding="utf-8").split("\n") if line.strip()]
    write(args.folder / "ifeval.jsonl", ifeval_rows(answer_texts.generator(args.seed), items, args.answers))
    write(args.folder / "filters.jsonl", filter_rows(answer_texts.generator(args.seed + 1), args.sums, not args.ifeval))


if __name__ == "__main__":
    main()
