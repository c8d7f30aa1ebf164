#!/usr/bin/python3
"""house_test.py: shows that house.py refuses what it should, and nothing else: a small tree that
passes, then one thing wrong at a time."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
CC = os.environ.get("HOUSE_CC", "cc")

GOOD = {
    "README.md": "good\n",
    ".gitignore": "build/\n",
    "build/anything.txt": "x\n",
    "conf/span.h": """/* span: a borrowed run of bytes, never owned. */
#pragma once
#include <stddef.h>
#include <netinet/in.h>
#include <sys/queue.h>

#define EACH(X) \\
\tX(ONE)

struct span {
\tconst char *p;
\tvoid (*visit)(void *owner);
};
enum each {
#define X(sym) EACH_##sym,
\tEACH(X)
#undef X
};
TAILQ_HEAD(spans, span);
typedef void span_visitor(void *owner);

/* span_of borrows; sprintf( in a comment is no call. */
static inline struct span span_of(const char *p)
{
\treturn (struct span){ .p = p };
}

/* Two of a kind. */
int span_first(void);
int span_second(void);

/* span_print is one sentence. */
__attribute__((format(printf, 2, 3))) void span_print(struct span s,
\tconst char *format, ...);

const char *span_name(void); /* never NULL */
""",
    "conf/span.c": """#include "conf/span.h"
int span_first(void)
{
\tconst char *s = "strcpy(a, b)";
\treturn s[0] + '"';
}
""",
    "certs/compat.h": """/* compat: the one place that knows the TLS library. */
#pragma once
#include "features.h"

/* compat_level says which. */
static inline int compat_level(void)
{
#ifdef HAVE_SSL_CREDENTIAL
\treturn 2;
#else
\treturn 1;
#endif
}
""",
    "certs/keys.c": '#include "certs/compat.h"\n#include "conf/span.h"\n#include <openssl/ssl.h>\n',
    "proxy/net/link.c": '#include "certs/compat.h"\n#include <sys/socket.h>\n#include <event2/event.h>\n'
                        "#if defined(__linux__)\nint linux_only;\n#endif\n"
                        "static int f(struct peer *p)\n{\n\treturn p->signal(1) + my_system(2);\n}\n",
    "proxy/observe/metrics.c": '#include "proxy/observe/ring.h"\n#include "conf/span.h"\n',
    "proxy/observe/ring.h": "/* ring: records on their way to the log. */\n#pragma once\n",
    "proxy/main.c": '#include "version.h"\n#include "proxy/net/link.h"\n',
    "tests/fuzz/replay_main.c": "int main(void)\n{\n\treturn 0;\n}\n",
    "tests/fuzz/pem.c": "int x;\n",
    "tests/fuzz/corpus/pem/empty": "",
}


class HouseTest(unittest.TestCase):
    def run_house(self, changes):
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**GOOD, **changes}.items():
                if text is None:
                    continue
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                    f.write(text)
            # As in the real tree: generated headers by -iquote, and a command to take flags from.
            generated = os.path.join(root, "build/generated")
            os.makedirs(generated)
            for name in ("features.h", "version.h"):
                with open(os.path.join(generated, name), "w", encoding="utf-8") as f:
                    f.write("#pragma once\n")
            commands = os.path.join(root, "build/compile_commands.json")
            with open(commands, "w", encoding="utf-8") as f:
                json.dump([{"directory": root, "file": "conf/span.c",
                            "command": f"{CC} -std=c11 -Wall -Werror -iquote {generated} -o x.o"
                                       " -c conf/span.c"}], f)
            return subprocess.run(
                [sys.executable, os.path.join(HERE, "house.py"), "--root", root, "--cc", CC,
                 "--compile-commands", commands], capture_output=True, text=True, check=False)

    def refuses(self, pattern, changes):
        result = self.run_house(changes)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertRegex(result.stdout, pattern)
        # One thing wrong, one finding: the others would be false alarms.
        self.assertEqual(len(result.stdout.splitlines()), 2, result.stdout)

    def test_good_tree_passes(self):
        result = self.run_house({})
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_top_level(self):
        self.refuses(r"^notes\.txt: .*top level", {"notes.txt": "x"})
        self.refuses(r"^lib: .*top level", {"lib/x.c": "int x;\n"})

    def test_direction_of_includes(self):
        for path, header, pattern in (
                ("conf/bad.c", '"certs/keys.h"', r"conf/bad\.c:1: conf/ may not include"),
                ("conf/bad.c", '"version.h"', r"conf/ may not include"),
                ("conf/bad.c", "<openssl/ssl.h>", r"conf/ may not include <openssl/ssl.h>"),
                ("conf/bad.c", "<sys/socket.h>", r"conf/ may not include <sys/socket.h>"),
                ("conf/bad.c", "<event2/event.h>", r"conf/ may not include"),
                ("certs/bad.c", '"proxy/net/link.h"', r"certs/ may not include"),
                ("certs/bad.c", "<jansson.h>", r"certs/ may not include <jansson.h>"),
                ("certs/bad.c", "<poll.h>", r"certs/ may not include <poll.h>"),
                ("certs/bad.c", "<netdb.h>", r"certs/ may not include <netdb.h>"),
                ("certs/bad.c", '"features.h"', r"only certs/compat.h includes features.h"),
                ("proxy/bad.c", '"tests/support/x.h"', r"proxy/ may not include"),
                ("proxy/bad.c", '"link.h"', r"proxy/ may not include"),
                ("proxy/bad.c", "<event2/bufferevent_ssl.h>", r"brings OpenSSL"),
                ("proxy/observe/bad.c", '"proxy/net/link.h"', r"proxy/observe/ may not include"),
                ("proxy/observe/bad.c", '"proxy/main.h"', r"proxy/observe/ may not include")):
            with self.subTest(path=path, header=header):
                self.refuses(pattern, {path: f"#include {header}\n"})

    def test_include_in_a_comment_is_none(self):
        self.assertEqual(self.run_house(
            {"conf/ok.c": "/* not\n#include <openssl/ssl.h>\n*/\nint x;\n"}).returncode, 0)

    def test_header_that_does_not_stand_alone(self):
        self.refuses(r"proxy/bad\.h: does not stand alone: .*error", {
            "proxy/bad.h": "/* bad: it forgets to include stddef. */\n#pragma once\n"
                           "struct bad {\n\tsize_t n;\n};\n"})

    def test_header_without_first_comment(self):
        self.refuses(r"proxy/bad\.h:1: no first comment",
                     {"proxy/bad.h": "#pragma once\n/* bad: the comment comes too late. */\n"})
        self.refuses(r"proxy/bad\.h:1: no first comment", {"proxy/bad.h": "#pragma once\n"})
        self.refuses(r"proxy/bad\.h:1: no first comment",
                     {"proxy/bad.h": "/* bad */\n#pragma once\n"})

    def test_undocumented_function(self):
        head = "/* bad: one idea in one page. */\n#pragma once\n"
        for body in ("int bad_one(void);\n",
                     "\nint bad_one(void);\n",
                     "/* bad_two is told. */\nint bad_two(void);\n\nint bad_one(void);\n",
                     "static inline int bad_one(void)\n{\n\treturn 1;\n}\n",
                     "struct s *bad_one(const char *a,\n\tint (*f)(void));\n",
                     "struct s {\n\tint x;\n};\n\n__attribute__((cold)) int bad_one(void);\n"):
            with self.subTest(body=body):
                self.refuses(r"bad_one is not documented", {"proxy/bad.h": head + body})

    def test_banned_functions(self):
        for call in ("sprintf(a, b)", "vsprintf (a, b, c)", "strcpy(a, b)", "strcat(a, b)",
                     "strtok(a, b)", "atoi(a)", "atol(a)", "atof(a)", "gets(a)", "sscanf(a, b)",
                     "scanf(a)", "fscanf(a, b)", "vsscanf(a, b, c)", "localtime(t)", "gmtime(t)",
                     "system(a)", "popen(a, b)", "alloca(n)", "signal(1, f)"):
            name = re.match(r"\w+", call).group()
            for path in ("conf/bad.c", "certs/bad.c", "proxy/bad.c", "tests/bad.c"):
                with self.subTest(call=call, path=path):
                    self.refuses(rf"{path}:3: {name} is banned",
                                 {path: f"static void f(void)\n{{\n\t(void){call};\n}}\n"})
        self.refuses("atoi is banned", {"conf/bad.c": "#define N(x) \\\n\tatoi(x)\n"})

    def test_reentrant_cousins_are_fine(self):
        calls = "snprintf(a); strtok_r(a); localtime_r(a); gmtime_r(a); sigaction(a); p->system(a);"
        self.assertEqual(self.run_house(
            {"proxy/ok.c": f"static void f(void)\n{{\n\t{calls}\n}}\n"}).returncode, 0)

    def test_condition_in_a_function(self):
        for word in ("#ifdef X", "#ifndef X", "#if X", "# if X"):
            with self.subTest(word=word):
                self.refuses(r"proxy/bad\.c:3: #if inside a function",
                             {"proxy/bad.c": f"int f(void)\n{{\n{word}\n\treturn 1;\n#endif\n}}\n"})

    def test_long_files(self):
        result = self.run_house({"proxy/long.c": "int x;\n" * 601})
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn("listed: proxy/long.c: 601 lines", result.stdout)
        self.refuses(r"proxy/long\.c: 901 lines", {"proxy/long.c": "int x;\n" * 901})

    def test_fuzz_target_without_seeds(self):
        self.refuses(r"tests/fuzz/hello\.c: no seeds", {"tests/fuzz/hello.c": "int x;\n"})
        self.refuses(r"tests/fuzz/hello\.c: no seeds", {
            "tests/fuzz/hello.c": "int x;\n", "tests/fuzz/corpus/hello/.keep": ""})


if __name__ == "__main__":
    unittest.main()
