package docpage

import (
	"strings"
	"testing"

	"parley.chat/chat-service/internal/api"
)

func TestPage(t *testing.T) {
	t.Parallel()
	doc, err := api.Load()
	if err != nil {
		t.Fatal(err)
	}
	page, err := New(doc)
	if err != nil {
		t.Fatal(err)
	}
	html := string(page.HTML)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !strings.Contains(html, `<article id="`+op.OperationID+`">`) {
				t.Errorf("the page does not contain %s %s", method, path)
			}
		}
	}
	// Every link within the page has a target.
	for _, part := range strings.Split(html, `href="#`)[1:] {
		id, _, _ := strings.Cut(part, `"`)
		if !strings.Contains(html, `id="`+id+`"`) {
			t.Errorf("no element has the id %s", id)
		}
	}
	for _, foreign := range []string{"<script", "src=", "http-equiv", "ZgotmplZ", "@import", "url("} {
		if strings.Contains(html, foreign) {
			t.Errorf("the page contains %s", foreign)
		}
	}
	if !strings.Contains(html, "<style>"+style+"</style>") {
		t.Error("the page does not contain the style sheet whose hash is in the policy")
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                              "",
		"one\n\ntwo":                    "<p>one</p><p>two</p>",
		"**a** and `b`":                 "<p><strong>a</strong> and <code>b</code></p>",
		"<script>alert(1)</script> `<`": "<p>&lt;script&gt;alert(1)&lt;/script&gt; <code>&lt;</code></p>",
	} {
		if got := string(text(given)); got != want {
			t.Errorf("text(%q) = %s, want %s", given, got, want)
		}
	}
}
