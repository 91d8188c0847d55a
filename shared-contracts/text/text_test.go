package text_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/text"
)

// vectors reads a file of inputs and expected results, which the web page's tests use as well.
func vectors[T any](t testing.TB, name string) (all []T) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("vectors", name+".json"))
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil || len(all) == 0 {
		t.Fatalf("vectors %s: %d read, %v", name, len(all), err)
	}
	return all
}

type mentionVector struct {
	Body     string     `json:"body"`
	Names    [][]string `json:"names"`
	Everyone bool       `json:"everyone"`
}

func TestParseMentions(t *testing.T) {
	for _, v := range vectors[mentionVector](t, "mentions") {
		m := text.ParseMentions(v.Body)
		if len(m.Names)+len(v.Names) > 0 && !reflect.DeepEqual(m.Names, v.Names) || m.Everyone != v.Everyone {
			t.Errorf("ParseMentions(%q) = %q, %v; want %q, %v", v.Body, m.Names, m.Everyone, v.Names, v.Everyone)
		}
	}
}

func TestParseMentions_bounded(t *testing.T) {
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, "@user%d `x` ", i)
	}
	if m := text.ParseMentions(b.String()); len(m.Names) != text.MaxNames {
		t.Errorf("%d names, want %d", len(m.Names), text.MaxNames)
	}
}

// FuzzParseMentions checks that every name is a valid username in lower case that follows an @ in
// the body.
func FuzzParseMentions(f *testing.F) {
	for _, v := range vectors[mentionVector](f, "mentions") {
		f.Add(v.Body)
	}
	for _, seed := range []string{"@bob. @\xff", "@All", "@channel.", "@-Here", "````@bob````", "`\xff`@bob"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		m := text.ParseMentions(body)
		for _, name := range slices.Concat(m.Names...) {
			if err := chat.CheckUsername(name); err != nil {
				t.Fatalf("%q in %q: %v", name, body, err)
			}
			if !strings.Contains(strings.ToLower(body), "@"+name) {
				t.Fatalf("%q is not in %q", name, body)
			}
		}
	})
}

func TestEmoji(t *testing.T) {
	type vector struct {
		Given string  `json:"given"`
		Emoji *string `json:"emoji"`
	}
	for _, v := range vectors[vector](t, "emoji") {
		switch got, ok := text.Emoji(v.Given); {
		case ok != (v.Emoji != nil):
			t.Errorf("Emoji(%+q) = %+q, %v", v.Given, got, ok)
		case ok && got != *v.Emoji:
			t.Errorf("Emoji(%+q) = %+q, want %+q", v.Given, got, *v.Emoji)
		}
	}
}

// FuzzEmoji checks that normalizing an emoji again does not change it, and that it fits into a
// frame.
func FuzzEmoji(f *testing.F) {
	for _, seed := range []string{"👍", "❤", "❤️", " 👍", "👩‍💻", "1⃣", "#", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		emoji, ok := text.Emoji(given)
		if !ok {
			return
		}
		if again, ok := text.Emoji(emoji); !ok || again != emoji || len(emoji) > 64 {
			t.Fatalf("Emoji(%+q) = %+q, and Emoji of the result = %+q, %v", given, emoji, again, ok)
		}
	})
}

func TestNormalizeBody(t *testing.T) {
	type vector struct {
		Given string `json:"given"`
		Body  string `json:"body"`
		OK    bool   `json:"ok"`
	}
	for _, v := range vectors[vector](t, "bodies") {
		got := chat.NormalizeBody(v.Given)
		if err := chat.CheckBody(got, 0); got != v.Body || (err == nil) != v.OK {
			t.Errorf("NormalizeBody(%q) = %q (%v), want %q, ok %v", v.Given, got, err, v.Body, v.OK)
		}
	}
}

func TestHalves(t *testing.T) {
	for _, tt := range []struct {
		document string
		want     string
	}{
		{`{"body":"plain"}`, ""},
		{`{"body":"\ud83d\ude00 \\ud800 \n"}`, ""},
		{`{"body":"a\ud800b"}`, "body"},
		{`{"body":"\uDC00\uD800","n":1e999}`, "body"},
		{`{"x":["a",{"y":"\ud800\ud83d\ude00"}],"ref":"\udfff"}`, "ref x.1.y"},
		{`{"\ud800":1}`, ""},
		{`{"body":"\ud800\u`, ""},
	} {
		if got := strings.Join(text.Halves([]byte(tt.document)), " "); got != tt.want {
			t.Errorf("Halves(%s) = %q, want %q", tt.document, got, tt.want)
		}
	}
}
