package docsite

import (
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                          "",
		"one\n\ntwo":                "<p>one</p>\n<p>two</p>\n",
		"**a** and `b`":             "<p><strong>a</strong> and <code>b</code></p>\n",
		"a < b & `<script>`":        "<p>a &lt; b &amp; <code>&lt;script&gt;</code></p>\n",
		"[x](/docs/websocket#y)":    `<p><a href="/docs/websocket#y">x</a></p>` + "\n",
		"[x](websocket.md#y)":       `<p><a href="/docs/websocket#y">x</a></p>` + "\n",
		"[x](openapi.yaml)":         `<p><a href="/docs">x</a></p>` + "\n",
		`a "quoted" \<b\> sentence`: "<p>a &quot;quoted&quot; &lt;b&gt; sentence</p>\n",
	} {
		if got, err := textOf(given); err != nil || string(got) != want {
			t.Errorf("textOf(%q) = %q, %v, want %q", given, got, err, want)
		}
	}
	for _, given := range []string{"a <script>alert(1)</script>", "<b>x</b>", "<div>\nx\n</div>", "[x](other.md)", "[x](javascript:alert(1))", "[x](http://other.example)"} {
		if got, err := textOf(given); err == nil {
			t.Errorf("textOf(%q) = %q, want an error", given, got)
		}
	}
}

func TestArticle(t *testing.T) {
	t.Parallel()
	d, err := article([]byte("# Title\n\n## One *more* thing\n\n| code | is |\n| --- | --- |\n| `a`, `b` | x |\n\n### Part\n\n```text\n→ {\"type\":\"send\",\"body\":\"<b>\"}\nplain <i>\n```\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`<h1 id="title">Title</h1>`,
		`<h2 id="one-more-thing"><a href="#one-more-thing">One <em>more</em> thing</a></h2>`,
		`<div class="table" role="group" tabindex="0" aria-label="Table: One more thing"><table>`,
		`</table></div>`,
		`<span class="frame sent"><i>→</i> {&#34;type&#34;:&#34;<b>send</b>&#34;,<wbr>&#34;body&#34;:&#34;&lt;b&gt;&#34;}` + "\n</span>plain &lt;i&gt;",
	} {
		if !strings.Contains(string(d.html), want) {
			t.Errorf("no %s in\n%s", want, d.html)
		}
	}
	if len(d.sections) != 1 || d.sections[0].Title != "One more thing" || len(d.sections[0].Sections) != 1 || d.sections[0].Sections[0].ID != "part" {
		t.Errorf("sections = %+v", d.sections)
	}
	want := []entry{
		{"section", "Title", "", "#title"},
		{"section", "One more thing", "", "#one-more-thing"},
		{"protocol", "a", "One more thing: x", "#one-more-thing"},
		{"protocol", "b", "One more thing: x", "#one-more-thing"},
		{"section", "Part", "", "#part"},
	}
	if len(d.entries) != len(want) {
		t.Fatalf("entries = %+v, want %+v", d.entries, want)
	}
	for i := range want {
		if d.entries[i] != want[i] {
			t.Errorf("entry %d = %+v, want %+v", i, d.entries[i], want[i])
		}
	}
}
