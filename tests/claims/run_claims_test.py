"""Tests of the claims' runner: what holds, what falls short, and that a missing or failing command never holds."""

import io
import pathlib
import unittest

import run_claims
from run_claims import BadClaims, Claim, parse_claims


def claim(command, figure="exit", bar="== 0", **more):
    return Claim("test.1", "A sentence.", command, figure, bar, **more)


def verdict(*arguments, **more):
    holds, shown, _ = run_claims.judge(claim(*arguments, **more), pathlib.Path("."))
    return holds, shown


class Judge(unittest.TestCase):
    def test_the_exit_code_is_a_figure(self):
        self.assertEqual(verdict("true"), (True, "0"))
        self.assertEqual(verdict("exit 3"), (False, "3"))

    def test_a_command_that_is_not_there_falls_short(self):
        for figure in ("exit", "regex: ([0-9]+)", "json: a"):
            with self.subTest(figure):
                self.assertFalse(verdict("no-such-program-anywhere", figure, ">= 0" if figure != "exit" else "== 0")[0])

    def test_a_failing_command_falls_short_whatever_it_prints(self):
        self.assertEqual(verdict("echo 5 ms; exit 1", "regex: ([0-9]+) ms", "<= 9"), (False, "5, exit 1"))
        self.assertFalse(verdict("echo 5 ms; false | cat", "regex: ([0-9]+) ms", "<= 9")[0])

    def test_the_last_match_of_a_regex_counts(self):
        self.assertEqual(verdict("echo x 1; echo x 7", "regex: ^x ([0-9]+)$", ">= 7"), (True, "7"))
        self.assertEqual(verdict("echo nothing", "regex: ^x ([0-9]+)$", ">= 7"), (False, "no figure"))

    def test_the_worst_value_of_json_counts(self):
        rows = """echo '{"rows": [{"gain": 3.5}, {"gain": 2.0}, {"other": 1}]}'"""
        self.assertEqual(verdict(rows, "json: rows[].gain", ">= 2.5"), (False, "2"))
        self.assertEqual(verdict(rows, "json: rows[].gain", "<= 3.5"), (True, "3.5"))
        self.assertEqual(verdict(rows, "json: rows[].gain", "== 2"), (False, "3.5"))
        self.assertEqual(verdict(rows, "json: rows[].loss", ">= 0"), (False, "no figure"))
        self.assertEqual(verdict("echo text", "json: a", ">= 0"), (False, "no figure"))

    def test_a_command_that_ends_late_falls_short(self):
        self.assertEqual(verdict("sleep 60", timeout_s=0.2), (False, "no figure, too late"))

    def test_all_must_hold(self):
        out = io.StringIO()
        self.assertFalse(run_claims.run_all([claim("true"), claim("false")], pathlib.Path("."), out=out))
        self.assertEqual(out.getvalue().splitlines(), ["test.1 holds 0 (bar == 0)", "test.1 falls short 1 (bar == 0)"])
        self.assertTrue(run_claims.run_all([claim("true")], pathlib.Path("."), out=out))


class ListOfClaims(unittest.TestCase):
    def entry(self, **changes):
        fields = {"sentence": "S.", "command": "true", "figure": "exit", "bar": "== 0"} | changes
        return "[a.1]\n" + "\n".join(f'{key} = "{value}"' for key, value in fields.items() if value is not None)

    def test_what_cannot_be_tried_here_counts_only_where_it_may_not_be_skipped(self):
        for as_known in (False, True):
            out = io.StringIO()
            self.assertEqual(run_claims.run_all([claim("exit 77")], pathlib.Path("."), as_known, out), as_known)
            self.assertIn("cannot be tried here", out.getvalue())

    def test_what_is_known_to_fall_short_must_do_so_in_ci_and_falls_short_elsewhere(self):
        for command, as_known, expected in (("false", True, True), ("false", False, False), ("true", True, False), ("true", False, True)):
            out = io.StringIO()
            self.assertEqual(run_claims.run_all([claim(command, short="not built")], pathlib.Path("."), as_known, out), expected)

    def test_the_tree_s_own_list_is_well_formed_and_covers_each_row(self):
        claims = parse_claims((run_claims.ROOT / "docs/claims.toml").read_text(encoding="utf-8"))
        rows = {".".join(item.identity.split(".")[:2]) for item in claims}
        self.assertLessEqual({f"foundation.{row}" for row in range(1, 10)}, {row.split("-")[0] for row in rows})

    def test_wrong_entries_are_named(self):
        for changes in ({"bar": "about 3"}, {"figure": "guess"}, {"command": None}, {"extra": "1"}):
            with self.subTest(changes), self.assertRaisesRegex(BadClaims, "a.1"):
                parse_claims(self.entry(**changes))

    def test_globs_choose_in_the_order_of_the_list(self):
        claims = [Claim(name, "", "", "exit", "== 0") for name in ("a.1", "a.2", "b.1")]
        self.assertEqual([item.identity for item in run_claims.choose(claims, ["b.*", "a.1"])], ["a.1", "b.1"])
        with self.assertRaises(BadClaims):
            run_claims.choose(claims, ["c.*"])


if __name__ == "__main__":
    unittest.main()
