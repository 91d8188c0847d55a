package structure_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// maxComment is the longest comment line of a Go file, in columns. A tab counts as four.
const maxComment = 100

// foreign are words and openings that a native technical writer would not use. CONTRIBUTING.md says
// what to write instead.
var foreign = []struct {
	words    *regexp.Regexp
	advice   string
	comments bool // headings and tables of documents may begin so
}{
	{regexp.MustCompile(`(?i)\b(anew|lest|whosoever|whoever|thereof|therein|hereby|henceforth)\b`), "use an everyday word", false},
	{regexp.MustCompile(`(?i)\b(tells?|says?|told|speaks?) of\b`), "name the action: reports, returns, records", false},
	{regexp.MustCompile(`(?i)\b(but for|at hand|so many as)\b`), "use an everyday word", false},
	{regexp.MustCompile(`(?i)\b(those|that|these) of (before|then|now|others)\b`), "repeat the noun", false},
	{regexp.MustCompile(`(^|[.:;] )(Who|Whom|Whose|Whoever) (has|is|was|holds|asks|sends|reads|waits|may|comes|goes|writes|leaves)\b[^?]*$`), "name the actor", true},
	{regexp.MustCompile(`(^|[.;] )What (is|was|has|comes|goes|waits|they|it|he|she|we|you|a|the|others|nobody|somebody)\b[^?]*$`), "name the thing", true},
	{regexp.MustCompile(`(^|[.;] )Of (what|which|whom|those|these|all that|whoever)\b`), "begin with the subject", false},
	{regexp.MustCompile(`(^|[.;] )(Such|Those|Which) (is|are|was|were|that|who|go|come|has|have)\b`), "repeat the noun", false},
}

// TestLanguage looks for foreign words in comments and documents, and for long comment lines.
// Exceptions are listed in testdata/language.txt.
func TestLanguage(t *testing.T) {
	allowed := readAllowed(t)
	used := make(map[string]bool)
	lines := 0
	eachText(t, func(path string, number int, text string, width bool) {
		lines++
		for _, f := range foreign {
			if width || f.comments && strings.HasSuffix(path, ".md") {
				continue
			}
			found := f.words.FindString(text)
			if found == "" {
				continue
			}
			entry := path + ": " + strings.TrimSpace(found)
			if slices.Contains(allowed, entry) {
				used[entry] = true
				continue
			}
			t.Errorf("%s:%d: %q: %s\n\t%s", path, number, strings.TrimSpace(found), f.advice, text)
		}
		if n := utf8.RuneCountInString(text); width && n > maxComment && strings.Contains(strings.TrimSpace(text), " ") {
			t.Errorf("%s:%d: a comment line of %d columns, at most %d\n\t%s", path, number, n, maxComment, text)
		}
	})
	for _, entry := range allowed {
		if !used[entry] {
			t.Errorf("testdata/language.txt allows what is not there: %s", entry)
		}
	}
	if lines < 5000 {
		t.Errorf("only %d lines were read: the test has lost its object", lines)
	}
}

func readAllowed(t *testing.T) (entries []string) {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("testdata", "language.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(source)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			entries = append(entries, line)
		}
	}
	return entries
}

// comments are the beginnings of comment lines, by file name extension.
var comments = map[string]*regexp.Regexp{
	".go": regexp.MustCompile(`^\s*// ?`), ".ts": regexp.MustCompile(`^\s*(//|/?\*+/?) ?`), ".tsx": regexp.MustCompile(`^\s*(//|/?\*+/?) ?`),
	".lua": regexp.MustCompile(`^\s*-- ?`), ".sql": regexp.MustCompile(`^\s*-- ?`),
}

// eachText calls visit for the comment lines of the modules' files and for the lines of documents.
// It calls visit for a comment of a Go file a second time, with width set, to show the whole line
// with its indentation, in which a tab counts as four columns.
func eachText(t *testing.T, visit func(path string, number int, text string, width bool)) {
	t.Helper()
	read := func(path string, source []byte) {
		begin, document := comments[filepath.Ext(path)], filepath.Ext(path) == ".md"
		if begin == nil && !document || strings.HasSuffix(path, ".gen.go") || strings.HasSuffix(path, "/rest-types.ts") {
			return
		}
		fenced, number := false, 0
		for line := range strings.Lines(string(source)) {
			number++
			line = strings.TrimRight(line, "\r\n")
			if document {
				if strings.HasPrefix(strings.TrimSpace(line), "```") {
					fenced = !fenced
				} else if !fenced {
					visit(path, number, strings.TrimLeft(line, "|-*#> "), false)
				}
				continue
			}
			if !begin.MatchString(line) || strings.Contains(line, "//nolint") || strings.Contains(line, "//go:") {
				continue
			}
			visit(path, number, begin.ReplaceAllString(line, ""), false)
			if filepath.Ext(path) == ".go" {
				visit(path, number, strings.ReplaceAll(line, "\t", "    "), true)
			}
		}
	}
	eachFile(t, read)
	for _, top := range []string{"docs", "deploy", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"} {
		walk(t, filepath.Join(root(t), top), read)
	}
}
