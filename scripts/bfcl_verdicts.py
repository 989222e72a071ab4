#!/usr/bin/env python3
"""Writes answers to tool-calling questions, right and wrong ones, and has bfcl-eval's own code judge them.

    bfcl_verdicts.py OUT.jsonl [--seed 1] [--outputs 3] [--own]

Runs in the environment that scripts/check-calls makes, where bfcl-eval is installed without what it needs to run models:
whatever is missing is replaced by a stand-in. Its reader of Qwen's format, its reader of prompted answers and its
checker are called as its runner calls them. An answer is built from the possible answers and then, two times in three,
spoilt: another type or value, an argument or a call too many or too few, another name, another order, changed letters,
text that does not parse. With --own the questions are of our own instead of BFCL's. One line an item: its reference as
bitfrontier reads it, and its outputs with format and verdict (`null` where bfcl-eval's code ends in an exception).
"""

import argparse
import importlib.abc
import importlib.machinery
import importlib.resources
import json
import random
import sys
from pathlib import Path
from unittest.mock import MagicMock


class StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds every module that nobody else finds."""

    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = MagicMock(name=spec.name)
        module.__path__ = []
        module.__spec__ = spec
        if spec.name == "overrides":
            module.override = module.final = lambda function: function
        return module

    def exec_module(self, module):
        pass


CATEGORIES = ["simple_python", "simple_java", "simple_javascript", "multiple", "parallel", "parallel_multiple",
              "irrelevance", "live_simple", "live_multiple", "live_parallel", "live_parallel_multiple",
              "live_irrelevance", "live_relevance"]
LANGUAGES = {"simple_java": "java", "simple_javascript": "javascript"}


class Oracle:
    """bfcl-eval's runner with two handlers: Qwen's function calls, and answers to its prompt."""

    def __init__(self):
        sys.meta_path.append(StandIn())
        # The handlers of all models would be imported for one flag: whether names keep their dots.
        config = MagicMock()
        config.MODEL_CONFIG_MAPPING = {"ours": MagicMock(underscore_to_dot=False)}
        sys.modules["bfcl_eval.constants.model_config"] = config
        from bfcl_eval.constants.enums import Language, ReturnFormat
        from bfcl_eval.eval_checker import eval_runner
        base = MagicMock()
        base.OSSHandler = object
        sys.modules["bfcl_eval.model_handler.local_inference.base_oss_handler"] = base
        from bfcl_eval.model_handler.local_inference.qwen_fc import QwenFCHandler
        from bfcl_eval.model_handler.utils import default_decode_ast_prompting

        class Prompted:
            def decode_ast(self, result, language, has_tool_call_tag):
                return default_decode_ast_prompting(result, language, has_tool_call_tag)

        self.runner = eval_runner
        self.languages = {"java": (Language.JAVA, ReturnFormat.JAVA),
                          "javascript": (Language.JAVASCRIPT, ReturnFormat.JAVASCRIPT)}
        self.python = (Language.PYTHON, ReturnFormat.PYTHON)
        self.handlers = {"hermes": QwenFCHandler.__new__(QwenFCHandler), "pythonic": Prompted()}

    def judge(self, category, entry, answers, form, output):
        """Whether it is right; None where the checker crashes."""
        handler = self.handlers[form]
        try:
            if "relevance" in category:
                found = self.runner._evaluate_single_relevance_entry(handler, 0, output, entry, "ours", category)
            else:
                language, returned = self.languages.get(LANGUAGES.get(category), self.python)
                found = self.runner._evaluate_single_ast_entry(handler, 0, output, answers, entry, "ours",
                                                               category, language=language, return_format=returned)
        except Exception:  # noqa: BLE001
            return None
        return bool(found["valid"])


def java(value, kind):
    """A value as Java source."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value}{ {'long': 'L', 'float': 'f'}.get(kind, '')}"
    if isinstance(value, list):
        inside = ", ".join(java(one, "") if not isinstance(one, str) else f'"{one}"' for one in value)
        return f"new ArrayList<>(Arrays.asList({inside}))" if kind == "ArrayList" else f"new Object[]{{{inside}}}"
    if isinstance(value, dict):
        puts = " ".join(f'put("{k}", {java(v, "") if not isinstance(v, str) else chr(34) + v + chr(34)});'
                        for k, v in value.items())
        return f"new HashMap<String, Object>() {{{{ {puts} }}}}"
    return str(value)


def javascript(value, kind):
    """A value as JavaScript source."""
    if isinstance(value, str):
        return value
    if kind == "Bigint" and isinstance(value, int):
        return f"{value}n"
    return json.dumps(value)


class Writer:
    """Answers to one question after another."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def one_of(self, options):
        """A possible value, or None for an argument that is left out."""
        if "" in options and self.random.random() < 0.4:
            return None, False
        options = [one for one in options if not isinstance(one, str) or one != ""]
        return (self.inside(self.random.choice(options)), True) if options else (None, False)

    def inside(self, value):
        """In dicts every key has a list of possible values."""
        if isinstance(value, dict):
            out = {}
            for key, options in value.items():
                chosen, there = self.one_of(options) if isinstance(options, list) else (options, True)
                if there:
                    out[key] = chosen
            return out
        if isinstance(value, list) and any(isinstance(one, dict) for one in value):
            return [self.inside(one) for one in value]
        return value

    def right(self, answers):
        calls = []
        for answer in answers:
            for name, arguments in answer.items():
                given = {}
                for argument, options in arguments.items():
                    chosen, there = self.one_of(options)
                    if there:
                        given[argument] = chosen
                calls.append([name, given])
        self.random.shuffle(calls)
        return calls

    def spoilt_value(self, value):
        """Something near the value: of another type, spelling or content."""
        pick = self.random.random()
        if isinstance(value, bool):
            return self.random.choice([not value, int(value), str(value), str(value).lower()])
        if isinstance(value, int):
            return self.random.choice([value + 1, float(value), str(value), -value, [value], None, value + 0.5])
        if isinstance(value, float):
            return self.random.choice([value + 1, int(value), str(value), -value, None, round(value, 1)])
        if isinstance(value, str):
            changed = [value.upper(), value.lower(), value.replace(" ", ""), value.replace(" ", "_"), value + ".",
                       value.replace("-", " "), value.replace(",", ""), value.replace("'", '"'), f" {value} ",
                       value + "x", value[:-1], "", [value], 5, None, value.replace("/", "^*"), {"value": value}]
            return self.random.choice(changed)
        if isinstance(value, list):
            if value and pick < 0.4:
                at = self.random.randrange(len(value))
                return value[:at] + [self.spoilt_value(value[at])] + value[at + 1:]
            return self.random.choice([value[::-1], value + value[:1], value[1:], [], tuple(value), str(value),
                                       {"list": value}, value + [None], [value]])
        if isinstance(value, dict):
            keys = list(value)
            if keys and pick < 0.5:
                key = self.random.choice(keys)
                return {**value, key: self.spoilt_value(value[key])}
            if keys and pick < 0.7:
                return {key: value[key] for key in keys[1:]}
            if pick < 0.85:
                return {**value, "unheard_of": 1}
            return self.random.choice([[value], str(value), {}, None, dict(reversed(value.items()))])
        return self.random.choice(["None", 0, "", [], "null"])

    def spoilt(self, calls, tools):
        calls = [[name, dict(given)] for name, given in calls]
        at = self.random.randrange(len(calls))
        name, given = calls[at]
        pick = self.random.random()
        if given and pick < 0.6:
            argument = self.random.choice(list(given))
            given[argument] = self.spoilt_value(given[argument])
        elif given and pick < 0.7:
            del given[self.random.choice(list(given))]
        elif pick < 0.75:
            given["unheard_of"] = 1
        elif pick < 0.8:
            names = [tool["name"] for tool in tools]
            calls[at][0] = self.random.choice([*names, name.replace(".", "_"), name + "s", name.upper()])
        elif pick < 0.85:
            calls.append([name, dict(given)])
        elif pick < 0.9:
            del calls[at]
        elif pick < 0.95 and len(tools[0].get("parameters", {}).get("properties", {})) > len(given):
            missing = [one for one in tools[0]["parameters"]["properties"] if one not in given]
            given[self.random.choice(missing)] = self.random.choice(["x", 1, True, None])
        elif len(given) > 1:
            first, second = self.random.sample(list(given), 2)
            given[first], given[second] = given[second], given[first]
        return calls

    def hermes(self, calls):
        blocks = ["<tool_call>\n" + json.dumps({"name": name, "arguments": given}, ensure_ascii=False) + "\n</tool_call>"
                  for name, given in calls]
        text = "\n".join(blocks)
        pick = self.random.random()
        if pick < 0.03:
            return text[:-self.random.randint(1, 40)]
        if pick < 0.05:
            return text.replace("}", "", 1)
        if pick < 0.07:
            return text.replace('"arguments"', '"args"', 1)
        if pick < 0.1:
            return "I will do that.\n" + text
        if pick < 0.11:
            return "I cannot do that: the tools <b> do not fit."
        return text

    def pythonic(self, calls):
        def value(one):
            if isinstance(one, str) and one.isidentifier() and self.random.random() < 0.05:
                return one
            if isinstance(one, str) and self.random.random() < 0.3 and "\\" not in one and "\n" not in one:
                return '"' + one.replace('"', '\\"') + '"'
            if isinstance(one, int) and not isinstance(one, bool) and one > 1 and self.random.random() < 0.03:
                return f"{one - 1} + 1"
            return repr(one)

        def call(name, given):
            space = self.random.choice(["", "", " "])
            inside = ", ".join(f"{key}{space}={space}{value(one)}" for key, one in given.items())
            if self.random.random() < 0.02:
                inside = "5, " + inside
            return f"{name}({inside})"

        text = "[" + ", ".join(call(*one) for one in calls) + "]"
        pick = self.random.random()
        if pick < 0.03:
            return text[:-self.random.randint(1, 30)]
        if pick < 0.06:
            return text[1:-1]
        if pick < 0.08:
            return f"```\n{text}\n```"
        if pick < 0.1:
            return text + "\nThese are the calls."
        if pick < 0.11:
            return "Sure: " + text
        if pick < 0.12:
            return "None of the functions can do that (I am sorry)."
        if pick < 0.14:
            return text.replace("(", "(\n    ").replace(")]", ",\n)]")
        return text


def in_source(calls, tools, language):
    """Arguments of other languages are texts."""
    kinds = {name: schema.get("type") for tool in tools for name, schema in tool["parameters"]["properties"].items()}
    write = java if language == "java" else javascript
    return [[name, {key: value if value is None else write(value, kinds.get(key)) for key, value in given.items()}]
            for name, given in calls]


def rows_of(path):
    """A file of one JSON text a line. (splitlines would also end lines at U+2028, which JSON texts may hold.)"""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def bfcl():
    """BFCL's questions with their possible answers."""
    data = importlib.resources.files("bfcl_eval") / "data"
    for category in CATEGORIES:
        file = f"BFCL_v4_{category}.json"
        answers = {}
        if "relevance" not in category:
            answers = {row["id"]: row["ground_truth"] for row in rows_of(data / "possible_answer" / file)}
        for entry in rows_of(data / file):
            yield category, entry, answers.get(entry["id"])


def own():
    """Questions of our own, some of every category."""
    def tool(name, properties, required):
        return {"name": name, "description": name, "parameters": {"type": "dict", "properties": properties,
                                                                  "required": required}}

    text, whole, real, word = {"type": "string"}, {"type": "integer"}, {"type": "float"}, {"type": "boolean"}
    tools = {
        "weather.at": tool("weather.at", {"town": text, "days": whole, "metric": word}, ["town"]),
        "ship": tool("ship", {"goods": {"type": "array", "items": text}, "weight": real,
                              "to": {"type": "dict", "properties": {"street": text, "number": whole}}}, ["goods"]),
        "mix": tool("mix", {"parts": {"type": "array", "items": {"type": "dict"}},
                            "ratio": {"type": "tuple", "items": whole}, "label": {"type": "any"}}, ["parts"]),
        "sum_up": tool("sum_up", {"numbers": {"type": "array", "items": real}, "round_to": whole}, ["numbers"]),
    }
    right = {
        "weather.at": [{"town": ["Lake-Side, North", "lakeside"], "days": [3, ""], "metric": [True, ""]},
                       {"town": ["Ny'borg"], "days": [1], "metric": ["", False]}],
        "ship": [{"goods": [["Green tea", "salt"]], "weight": [2.5, ""],
                  "to": [{"street": ["Mill Rd."], "number": [7, ""]}, ""]},
                 {"goods": [["rope"], ["ropes"]], "weight": [4.0]}],
        "mix": [{"parts": [[{"name": ["Lime"], "ml": [20]}, {"name": ["gin"], "ml": [40, 45]}]], "ratio": [[1, 2], ""]},
                {"parts": [[{"name": ["tea"]}]], "label": ["", "cold"]}],
        "sum_up": [{"numbers": [[1.5, 2.5]], "round_to": ["", 2]}, {"numbers": ["readings"], "round_to": ["places"]}],
    }
    names = list(tools)
    for name in names:
        for number in range(2):
            yield "simple_python", {"function": [tools[name]]}, [{name: right[name][number]}]
            yield "multiple", {"function": list(tools.values())}, [{name: right[name][number]}]
        both = [{name: right[name][0]}, {name: right[name][1]}]
        yield "parallel", {"function": [tools[name]]}, both
        other = names[names.index(name) - 1]
        yield "parallel_multiple", {"function": list(tools.values())}, [both[1], {other: right[other][0]}]
        yield "irrelevance", {"function": [tools[name]]}, None
        yield "live_relevance", {"function": [tools[name]]}, None
    for category, kinds in {
        "simple_java": {"a": "integer", "b": "long", "c": "float", "d": "double", "e": "boolean", "f": "String",
                        "g": "any", "h": "HashMap", "i": "ArrayList", "j": "Array", "k": "char"},
        "simple_javascript": {"a": "integer", "b": "Bigint", "c": "float", "d": "float", "e": "Boolean", "f": "String",
                              "g": "any", "h": "dict", "i": "array", "j": "array", "k": "String"},
    }.items():
        properties = {name: {"type": kind} for name, kind in kinds.items()}
        for name in "ij":
            properties[name]["items"] = {"type": "String" if name == "i" else "integer"}
        values = {"a": [5], "b": [6], "c": [1.5], "d": [2.25], "e": [True], "f": ["Plain text"], "g": ["maker.make()"],
                  "h": [{"one": ["x"], "two": [2]}], "i": [["p", "q"]], "j": [[1, 2, 3]], "k": ["c"]}
        for left in range(6):
            chosen = {name: values[name] for name in "abcdefghijk"[left:left + 6]}
            function = tool("Maker.make", {name: properties[name] for name in chosen}, list(chosen))
            yield category, {"function": [function]}, [{"Maker.make": chosen}]


def outputs(writer, category, entry, answers, number):
    """Answers to one question, by format."""
    tools, language = entry["function"], LANGUAGES.get(category)
    for turn in range(number):
        if answers is None:
            # Whether there is a call is all that counts.
            names = [tool["name"] for tool in tools] or ["nothing"]
            calls = [[writer.random.choice(names), {"x": 1}]] if writer.random.random() < 0.5 else []
        else:
            calls = writer.right(answers)
            if turn > 0 and calls:
                calls = writer.spoilt(calls, tools)
        if language:
            calls = in_source(calls, tools, language)
            if turn > 0 and calls and writer.random.random() < 0.5:
                calls = writer.spoilt(calls, tools)
        yield "hermes", writer.hermes(calls) if calls else "None of the tools can do that."
        # bfcl-eval reads prompted calls of Java and JavaScript as source of these languages, bitfrontier as Python.
        if not language:
            yield "pythonic", writer.pythonic(calls) if calls else writer.random.choice(["[]", "I cannot (yet)."])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--outputs", type=int, default=3)
    parser.add_argument("--own", action="store_true")
    args = parser.parse_args()
    oracle, writer = Oracle(), Writer(args.seed)
    with args.out.open("w", encoding="utf-8") as out:
        for category, entry, answers in own() if args.own else bfcl():
            reference = {"tools": entry["function"], "language": LANGUAGES.get(category, "python")}
            if category == "live_relevance":
                reference["any_call"] = True
            else:
                reference["answers"] = answers or []
            written = outputs(writer, category, entry, answers, args.outputs)
            judged = [{"format": form, "output": output, "right": oracle.judge(category, entry, answers, form, output)}
                      for form, output in written]
            row = {"category": category, "reference": reference, "outputs": judged}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
