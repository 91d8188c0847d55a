package structure_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// TestErrorTexts checks that errors for clients are plain English. A text must be a sentence and
// must not repeat a word, as in "The body body is blank." A message about a field is a fragment
// that follows the field's name, as in "The field name must not be blank." No text may begin with a
// pronoun instead of a noun, as in "Only who sent a message". Only one file may write problem
// documents, so that all their types follow one scheme.
func TestErrorTexts(t *testing.T) {
	texts, problems := 0, 0
	eachFile(t, func(path string, source []byte) {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".gen.go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && (strings.Contains(lit.Value, "about:blank") || strings.Contains(lit.Value, "urn:parley:problem")) {
				if problems++; !strings.HasSuffix(path, "apierr/problem.go") {
					t.Errorf("%s writes its own problem document: %s", path, lit.Value)
				}
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			fun, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := fun.X.(*ast.Ident); !ok || pkg.Name != "apierr" {
				return true
			}
			for _, arg := range call.Args {
				if lit, ok := arg.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					text, _ := strconv.Unquote(lit.Value)
					texts++
					checkText(t, path, text)
					checkForm(t, path, fun.Sel.Name, text)
				}
			}
			return true
		})
	})
	if texts < 80 || problems == 0 {
		t.Errorf("found %d texts and %d problem types: this test does not search the right places", texts, problems)
	}
}

func checkText(t *testing.T, path, text string) {
	t.Helper()
	words := strings.Fields(strings.ToLower(text))
	for i, word := range words {
		if i > 0 && word == words[i-1] && !strings.HasPrefix(word, "%") {
			t.Errorf("%s: %q repeats %q", path, text, word)
		}
	}
	for _, opening := range []string{"only who ", "who ", "whoever ", "what "} {
		if strings.HasPrefix(strings.ToLower(text), opening) {
			t.Errorf("%s: %q begins with a pronoun instead of a noun", path, text)
		}
	}
}

// checkForm checks that the texts of New and Wrap are sentences, and that the texts of Violates can
// follow the name of a field.
func checkForm(t *testing.T, path, function, text string) {
	t.Helper()
	first, _ := utf8.DecodeRuneInString(text)
	switch function {
	case "New", "Wrap":
		if text != "%s" && (!unicode.IsUpper(first) || !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, ". %s")) {
			t.Errorf("%s: %q is not a sentence", path, text)
		}
	case "Violates":
		if unicode.IsUpper(first) || strings.HasSuffix(text, ".") {
			t.Errorf("%s: %q cannot follow the name of a field", path, text)
		}
	}
}
