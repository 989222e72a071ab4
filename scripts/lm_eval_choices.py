"""Scores multiple-choice questions with lm-eval's own code. Run by `check-choice`, with lm-eval's Python.

    lm_eval_choices.py MODEL.gguf JOB.json OUT.jsonl --threads 2

The job names a suite, the lines of its data file that are asked and those that are the examples. They are put into
the columns of the data set that lm-eval's task file was written for; prompts, choices, right answers, tokens of a
continuation and accuracies are then lm-eval's. Logits and tokenizer are those of llama-cpp-python, which brings a
llama.cpp of its own; what a prompt has in common with the one before it is not decoded again. With --alone every prompt
is, but for those of one-token choices, which need the same forward pass: lm-eval's own models do it so. Writes one
question a line: prompts, what is scored, log-likelihoods, verdicts.
"""

import argparse
import json
import os
import re
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
CACHED = tempfile.TemporaryDirectory(prefix="lm-eval-choices-")
os.environ["HF_HOME"] = CACHED.name

import numpy  # noqa: E402
import yaml  # noqa: E402
from llama_cpp import Llama  # noqa: E402
from lm_eval import evaluator, tasks  # noqa: E402
from lm_eval.api.model import TemplateLM  # noqa: E402


def labelled(row, **more):
    return {"choices": {"text": row["choices"], "label": row["labels"]}, "answerKey": row["answer"], **more}


def lettered(text, letters):
    """The parts of "question, line end, A. first, line end, B. second" and so on."""
    parts = re.fullmatch("(.*?)" + "".join(rf"\n{letter}\. (.*?)" for letter in letters), text, re.DOTALL)
    return list(parts.groups())


def arc_challenge(row):
    return labelled(row, question=row["question"])


def hellaswag(row):
    # The packaged file has one text where lm-eval's `process_docs` wants a label and the two parts of the context.
    return {"query": row["question"], "choices": row["choices"], "label": str(row["labels"].index(row["answer"]))}


def piqa(row):
    first, second = row["choices"]
    return {"goal": row["goal"], "sol1": first, "sol2": second, "label": row["labels"].index(row["answer"])}


def winogrande(row):
    first, second = row["choices"]
    return {"sentence": row["sentence"], "option1": first, "option2": second,
            "answer": str(1 + row["labels"].index(row["answer"]))}


def boolq(row):
    return {"passage": row["passage"], "question": row["question"], "label": ["no", "yes"].index(row["answer"])}


def openbookqa(row):
    return labelled(row, question_stem=row["question"])


def truthfulqa_mc1(row):
    labels = [int(label == row["answer"]) for label in row["labels"]]
    return {"question": row["question"], "mc1_targets": {"choices": row["choices"], "labels": labels}}


def mmlu(row):
    _, *choices = lettered("\n" + row["options"], "ABCD")
    return {"question": row["question"], "choices": choices, "answer": "ABCD".index(row["answer"][0])}


def commonsense_qa(row):
    question, *choices = lettered(row["question"].strip() + row["options"], "ABCDE")
    return {"question": question, "choices": {"text": choices, "label": list("ABCDE")}, "answerKey": row["answer"][0]}


def social_iqa(row):
    _, *answers = lettered("\n" + row["options"], "ABC")
    return {"context": row["passage"], "question": row["question"], "label": str(1 + "ABC".index(row["answer"][0])),
            **dict(zip(("answerA", "answerB", "answerC"), answers))}


def lambada(row):
    return {"text": row["text"]}


# lm-eval's task file; what makes its columns of ours; what the packaged data force it to leave out.
SUITES = {
    "arc_challenge": ("arc/arc_challenge.yaml", arc_challenge, {}),
    "hellaswag": ("hellaswag/hellaswag.yaml", hellaswag, {"process_docs": None}),
    "piqa": ("piqa/piqa.yaml", piqa, {}),
    "winogrande": ("winogrande/default.yaml", winogrande, {}),
    "boolq": ("super_glue/boolq/default.yaml", boolq, {}),
    "openbookqa": ("openbookqa/openbookqa.yaml", openbookqa, {}),
    "truthfulqa_mc1": ("truthfulqa/truthfulqa_mc1.yaml", truthfulqa_mc1, {}),
    "mmlu": ("mmlu/default/_default_template_yaml", mmlu,
             {"description": "The following are multiple choice questions (with answers).\n\n"}),
    "commonsense_qa": ("commonsense_qa/default.yaml", commonsense_qa, {}),
    "social_iqa": ("siqa/siqa.yaml", social_iqa, {}),
    "lambada": ("lambada/lambada_openai.yaml", lambada, {}),
}


class Gguf(TemplateLM):
    """A GGUF file as lm-eval's model."""

    def __init__(self, path, threads, context, alone):
        super().__init__()
        self.context, self.alone = context, alone
        self.llama = Llama(str(path), n_ctx=context, n_batch=context, n_threads=threads, n_threads_batch=threads,
                           logits_all=True, verbose=False)
        self.decoded = []
        # By how much the least certain token of a continuation leads all others, in nats; negative if it does not.
        self.leads = {}

    @property
    def eot_token_id(self):
        return self.llama.token_eos()

    @property
    def prefix_token_id(self):
        return self.llama.token_bos() if self.llama.token_bos() >= 0 else self.eot_token_id

    def tok_encode(self, string, add_special_tokens=None, **kwargs):
        return self.llama.tokenize(string.encode(), add_bos=add_special_tokens is not False, special=False)

    def rows(self, tokens):
        """Logits behind every token."""
        if len(tokens) > self.context:
            raise ValueError(f"{len(tokens)} tokens; the context holds {self.context}")
        shared = len(os.path.commonprefix([tokens, self.decoded]))
        if shared < len(tokens):
            # Logits and cells of the tokens before this number are kept.
            self.llama.n_tokens = 0 if self.alone else shared
            self.llama.eval(tokens[self.llama.n_tokens:])
            self.decoded = tokens
        return self.llama.scores[: len(tokens)]

    def _loglikelihood_tokens(self, requests, **kwargs):
        scores = []
        for texts, context, continuation in requests:
            rows = self.rows([*context, *continuation][:-1])[-len(continuation):].astype(numpy.float64)
            top = rows.max(axis=1)
            norm = top + numpy.log(numpy.exp(rows - top[:, None]).sum(axis=1))
            greedy = bool((rows.argmax(axis=1) == numpy.array(continuation)).all())
            places = numpy.arange(len(continuation)), continuation
            chosen = rows[places]
            rows[places] = -numpy.inf
            self.leads[texts] = float((chosen - rows.max(axis=1)).min())
            scores.append((float((chosen - norm).sum()), greedy))
        return scores

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        raise NotImplementedError

    def generate_until(self, requests, disable_tqdm=False):
        raise NotImplementedError


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def task(job, folder):
    """lm-eval's task on these lines: its own file, with other data."""
    source, columns, changes = SUITES[job["suite"]]
    files = {"test": write_lines(folder / "test.jsonl", map(columns, job["rows"]))}
    config = {"include": str(Path(tasks.__file__).parent / source), "task": f"checked_{job['suite']}", **changes,
              "dataset_path": "json", "dataset_name": None, "training_split": None, "validation_split": None,
              "test_split": "test", "fewshot_split": None, "num_fewshot": len(job["examples"])}
    if job["examples"]:
        files["examples"] = write_lines(folder / "examples.jsonl", map(columns, job["examples"]))
        config |= {"fewshot_split": "examples", "fewshot_config": {"sampler": "first_n"}}
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump({**config, "dataset_kwargs": {"data_files": files}}), encoding="utf-8")
    return tasks.TaskManager(include_defaults=False).load(str(path))


def right(task, sample):
    """Index of the right choice."""
    doc = sample["doc"]
    if task.OUTPUT_TYPE == "loglikelihood":
        return 0
    answer = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    return answer if isinstance(answer, int) else task.doc_to_choice(doc).index(answer)


def line(task, sample, leads):
    contexts, continuations = zip(*sample["arguments"])
    scores = sample["filtered_resps"]
    return {
        "contexts": contexts,
        "continuations": continuations,
        "choices": task.doc_to_choice(sample["doc"]) if task.config.doc_to_choice else list(continuations),
        "choices_end_contexts": bool(task.multiple_input),
        "logprobs": [score for score, _ in scores],
        "leads": [leads[tuple(texts)] for texts in sample["arguments"]],
        "answer": right(task, sample),
        "acc": sample["acc"],
        "acc_norm": sample.get("acc_norm"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("job", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--context", type=int, default=4096, help="most tokens of a prompt with a choice")
    parser.add_argument("--alone", action="store_true", help="decode every prompt from its beginning")
    args = parser.parse_args()
    job = json.loads(args.job.read_text(encoding="utf-8"))
    loaded = task(job, Path(CACHED.name))
    (only,) = loaded["tasks"].values()
    model = Gguf(args.model, args.threads, args.context, args.alone)
    done = evaluator.evaluate(model, loaded, bootstrap_iters=0)
    (samples,) = done["samples"].values()
    samples.sort(key=lambda sample: sample["doc_id"])
    write_lines(args.out, (line(only, sample, model.leads) for sample in samples))


if __name__ == "__main__":
    main()
