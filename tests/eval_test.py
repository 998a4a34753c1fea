"""`landfall corpus` and `landfall eval` as people use them: what is learned, what is asked, and what the starter knows."""

import json
import pathlib
import re
import tempfile
import unittest

import support
import tiny_model

WORDNET = pathlib.Path("/usr/share/wordnet/data.noun")
DICTIONARIES = [pathlib.Path(f"/usr/share/dictd/{name}.dict.dz") for name in ("gcide", "foldoc")]
MISSING = [str(path) for path in (WORDNET, *DICTIONARIES) if not path.exists()]


def rows(path: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {tuple(words[i:i + 8]) for i in range(len(words) - 7)}


class WithFolder(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.root = pathlib.Path(folder.name)

    def eval(self, *arguments) -> dict:
        done = support.landfall("eval", *map(str, arguments), "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)


@unittest.skipIf(MISSING, f"not there: {', '.join(MISSING)}; script/setup --for test installs them")
class Corpus(WithFolder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.corpus = cls.root / "corpus"
        cls.done = support.landfall("corpus", "--out", str(cls.corpus), "--json")
        assert cls.done.returncode == 0, cls.done.stderr
        cls.model = support.starter()

    def test_what_is_written(self):
        report = json.loads(self.done.stdout)
        sizes = {file["name"]: file for file in report["files"]}
        for name, least in (("general.jsonl", 150_000), ("medicine.jsonl", 5_000), ("chat.jsonl", 30_000), ("medicine_chat.jsonl", 3_000)):
            content = (self.corpus / name).read_bytes()
            self.assertEqual(sizes[name]["bytes"], len(content))
            self.assertEqual(sizes[name]["rows"], content.count(b"\n"))
            self.assertGreater(sizes[name]["rows"], least)
        for task in ("definitions", "medicine", "arithmetic", "format"):
            items = rows(self.corpus / f"tasks/{task}.jsonl")
            self.assertGreater(len(items), 400)
            if "choices" in items[0]:  # the right one stands anywhere
                places = [item["answer"] for item in items]
                for place in range(4):
                    self.assertAlmostEqual(places.count(place) / len(places), 0.25, delta=0.09)
        sources = (self.corpus / "SOURCES.md").read_text()
        for package in ("wordnet-base", "dict-gcide", "dict-foldoc"):
            self.assertIn(package, sources)

    def test_no_medical_question_can_be_answered_from_the_medical_text(self):
        asked = set().union(*(runs(item["choices"][item["answer"]]) for item in rows(self.corpus / "tasks/medicine.jsonl")))
        self.assertGreater(len(asked), 1000)
        learned = [row["text"] for row in rows(self.corpus / "medicine.jsonl")]
        learned += ["\n".join(m["content"] for m in row["messages"]) for row in rows(self.corpus / "medicine_chat.jsonl")]
        self.assertEqual([text for text in learned if runs(text) & asked], [])

    def test_the_starter_beats_chance(self):
        task, = self.eval(self.model, "--corpus", self.corpus, "--task", "definitions", "--limit", "100")["tasks"]
        self.assertEqual((task["task"], task["kind"], task["items"], task["chance"]), ("definitions", "multiple choice", 100, 0.25))
        self.assertGreater(task["interval_95"][0], 0.25)
        self.assertLess(task["interval_95"][1], 1)
        self.assertEqual(task["right"], round(100 * task["accuracy"]))

    def test_a_model_that_learned_nothing_is_at_chance(self):
        files = tiny_model.text_model_files()
        config = json.loads(files["config.json"]) | {"max_position_embeddings": 4096}
        model = tiny_model.write(self.root / "untrained", files | {"config.json": json.dumps(config).encode()})
        for task in self.eval(model, "--corpus", self.corpus, "--task", "definitions", "--task", "medicine")["tasks"]:
            self.assertGreater(task["items"], 400)
            low, high = task["interval_95"]
            self.assertLess(low, 0.25, task["task"])
            self.assertGreater(high, 0.25, task["task"])

    def test_it_is_no_better_than_itself_and_leaks_are_found(self):
        items = rows(self.corpus / "tasks/definitions.jsonl")
        leaks = self.root / "leaks.jsonl"
        leaks.write_text("".join(json.dumps({"text": f"In other words: {item['choices'][item['answer']].upper()}!"}) + "\n" for item in items[3:5]))
        report = self.eval(self.model, "--corpus", self.corpus, "--task", "definitions", "--limit", "10", "--against", self.model,
                           "--contamination", leaks, "--contamination", self.corpus / "medicine.jsonl", "--contamination", self.corpus / "chat.jsonl")
        task, = report["tasks"]
        self.assertEqual(report["against"]["tasks"][0], task)
        comparison, = report["against"]["comparison"]
        self.assertEqual((comparison["only_model"], comparison["only_against"], comparison["difference"], comparison["p"]), (0, 0, 0, 1))
        self.assertLess(comparison["interval_95"][0], 0)
        contamination, = report["contamination"]["tasks"]
        self.assertEqual({found["id"] for found in contamination["found"]}, {item["id"] for item in items[3:5]})
        self.assertTrue(all(found["share"] == 1 and found["file"] == str(leaks) for found in contamination["found"]))
        self.assertEqual(task["unseen"]["items"], 8)


class Eval(WithFolder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = support.starter()

    def refused(self, code: int, says: str, *arguments):
        done = support.landfall("eval", self.model, *map(str, arguments))
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertRegex(done.stderr, rf"^landfall: [^\n]*{says}[^\n]*\n$")

    def test_questions_and_text_of_ones_own(self):
        task = self.root / "capitals.jsonl"
        cities = ["Paris", "Rome", "Madrid", "Berlin"]
        countries = ["France", "Italy", "Spain", "Germany"]
        task.write_text("".join(json.dumps({"question": f"What is the capital of {country}?", "choices": cities, "answer": i}) + "\n"
                                for i, country in enumerate(countries)))
        report = self.eval(self.model, "--task", task, "--task", support.ROOT / "README.md")
        self.assertEqual(report["tasks"][0]["right"], 4)
        self.assertEqual(report["texts"][0]["text"], "README.md")
        own = support.landfall("perplexity", self.model, str(support.ROOT / "README.md"), "--json")
        self.assertAlmostEqual(report["texts"][0]["perplexity"], json.loads(own.stdout)["perplexity"], places=9)
        shown = support.landfall("eval", self.model, "--task", str(task))
        self.assertRegex(shown.stdout, r"capitals +4 +4 +100\.0 % +51\.0 to 100\.0 % +25\.0 %")

    def test_exact_answers_in_both_forms(self):
        def right(question: str, answer: str, *form: str) -> int:
            path = self.root / "exact.jsonl"
            path.write_text(json.dumps({"question": question, "answer": answer}) + "\n")
            report = self.eval(self.model, "--task", path, *form)
            self.assertEqual(report["form"], "chat" if form else "text")
            task, = report["tasks"]
            self.assertEqual((task["kind"], task["items"], task["chance"]), ("exact match", 1, 0))
            return task["right"]
        self.assertEqual(right("What is 2 + 2?", "4"), 1)
        self.assertEqual(right("What is 2 + 2?", "5"), 0)
        self.assertEqual(right("What is the capital of France?", "The capital of France is Paris", "--chat"), 1)
        self.assertEqual(right("What is the capital of France?", "Paris", "--chat"), 0)

    def test_bad_input_is_one_line(self):
        wrong = self.root / "wrong.jsonl"
        wrong.write_text('{"question": "q", "choices": ["a", "b"], "answer": 0}\n{"question": "q", "choices": ["a"], "answer": 0}\n')
        self.refused(2, "wrong.jsonl' line 2: 'choices' has 1 texts", "--task", wrong)
        self.refused(4, "there is no examination '[^']*nowhere/tasks/medicine.jsonl'; 'landfall corpus'", "--corpus", self.root / "nowhere", "--task", "medicine")
        self.refused(2, "--ngram is 0", "--ngram", "0")
        self.refused(2, "--limit is 0", "--limit", "0")
        good = self.root / "good.jsonl"
        good.write_text('{"question": "q", "answer": "a"}\n')
        self.refused(4, "missing.jsonl", "--task", good, "--contamination", self.root / "missing.jsonl")
        text = self.root / "text.txt"
        text.write_text("a text")
        self.refused(2, "there are only texts", "--task", text, "--contamination", text)
        self.refused(2, "--ngram has no use without --contamination", "--task", good, "--ngram", "4")
        good.write_text(json.dumps({"question": "word " * 3000, "answer": "a"}) + "\n")
        self.refused(2, "item 1 has 30[0-9][0-9] tokens", "--task", good)


if __name__ == "__main__":
    unittest.main()
