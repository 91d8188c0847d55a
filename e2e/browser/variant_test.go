package browser_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// A variant is a setting of the user's system, browser or window. All tests run under the variant
// that the environment variable BROWSER_VARIANT names.
type variant struct {
	name          string
	width, height int64 // of the window, in CSS pixels
	reducedMotion bool
	language      string // the browser's preferred language; empty means English
	textSize      int    // the text size set in the browser, in CSS pixels; 0 means defaultTextSize
}

// defaultTextSize is the text size of a browser whose user has not chosen another one.
const defaultTextSize = 16

var variants = map[string]variant{
	"":               {width: 1280, height: 800},
	"reduced-motion": {width: 1280, height: 800, reducedMotion: true},
	"narrow":         {width: 390, height: 844},
	"german":         {width: 1280, height: 800, language: "de"},
	"large-text":     {width: 1280, height: 800, textSize: 2 * defaultTextSize},
}

func variantOf(t *testing.T) variant {
	t.Helper()
	v, known := variants[os.Getenv("BROWSER_VARIANT")]
	if !known {
		t.Fatalf("BROWSER_VARIANT=%q: want one of %s", os.Getenv("BROWSER_VARIANT"), strings.Join(slices.Sorted(maps.Keys(variants)), ", "))
	}
	v.name = os.Getenv("BROWSER_VARIANT")
	return v
}

// text returns a length that holds as much text as the given one does at the default text size.
func (v variant) text(px int64) int64 {
	if v.textSize == 0 {
		return px
	}
	return px * int64(v.textSize) / defaultTextSize
}

// stories returns the stories whose screens look different than in other variants.
func (v variant) stories() []story {
	switch {
	case v.name == "":
		return stories
	case v.textSize != 0:
		return stories[:2]
	default:
		return stories[:1]
	}
}

// words are the texts of the page that tests look for, in the language of the variant.
type words struct {
	channels, starred, direct         string // section headings
	levelDefault, levelAll, levelNone string // when a channel causes notifications
	deleted                           string // part of a deleted message
	edited                            string
	readBy1of2                        string
	newSince                          string // of the bar above unread messages; a regular expression
}

func (v variant) words() words {
	if v.language == "de" {
		return words{
			channels: "Kanäle", starred: "Favoriten", direct: "Direktnachrichten",
			levelDefault: "Standard", levelAll: "Alle Nachrichten", levelNone: "Nichts",
			deleted: "gelöscht", edited: "(bearbeitet)",
			readBy1of2: "Gelesen von 1 von 2", newSince: "^[1-9][0-9]? neue seit",
		}
	}
	return words{
		channels: "Channels", starred: "Starred", direct: "Direct messages",
		levelDefault: "Default", levelAll: "All messages", levelNone: "Nothing",
		deleted: "deleted", edited: "(edited)",
		readBy1of2: "Read by 1 of 2", newSince: "^[1-9][0-9]? new since",
	}
}
