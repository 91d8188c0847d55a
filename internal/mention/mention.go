// Package mention finds whom a message speaks to: the members whose @username it has, and with @channel
// all of them. The gateway and the REST service use it before the append, so that what was mentioned is
// part of the event and the same for everybody.
//
// Parse is pure. A Finder asks PostgreSQL which of the names are members' names; it is safe for
// concurrent use and starts no goroutines.
package mention

import (
	"strings"
	"unicode/utf8"

	"parley.chat/shared-contracts/chat"
)

const (
	// Everyone is the name that stands for all members.
	Everyone = "channel"
	// MaxNames is how many different names of one message count: those that come first.
	MaxNames = 50
)

// Parsed is what a body mentions, by name.
type Parsed struct {
	// Names has one list per mention: what it may mean, in lower case, the longest first. "@bob." is bob.
	// who, or bob at the end of a sentence.
	Names    [][]string
	Everyone bool
}

// None reports whether the body mentions nobody.
func (p *Parsed) None() bool { return len(p.Names) == 0 && !p.Everyone }

// Parse finds the mentions of a body: an @ that does not follow a letter, digit or another part of a
// name (so that mail addresses are none), and behind it what a username may have.
func Parse(body string) Parsed {
	var p Parsed
	seen := map[string]bool{}
	for at := strings.IndexByte(body, '@'); at >= 0 && len(p.Names) < MaxNames; {
		end := at + 1
		for end < len(body) && inName(body[end]) {
			end++
		}
		name := strings.ToLower(body[at+1 : end])
		if startsHere(body, at) && endsHere(body, end) && !seen[name] {
			seen[name] = true
			p.add(name)
		}
		next := strings.IndexByte(body[end:], '@')
		if next < 0 {
			break
		}
		at = end + next
	}
	return p
}

// add takes the text behind an @.
func (p *Parsed) add(text string) {
	var names []string
	for {
		if text == Everyone {
			p.Everyone = true
			break
		}
		if len(text) < chat.MinUsernameChars {
			break
		}
		if len(text) <= chat.MaxUsernameChars && !chat.IsCollective(text) {
			names = append(names, text)
		}
		if last := text[len(text)-1]; last != '.' && last != '-' && last != '_' {
			break
		}
		text = text[:len(text)-1]
	}
	if len(names) > 0 {
		p.Names = append(p.Names, names)
	}
}

// inName reports whether a username may have c.
func inName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '-'
}

// startsHere reports whether the @ at a place of body begins a mention.
func startsHere(body string, at int) bool {
	if at == 0 {
		return true
	}
	before, _ := utf8.DecodeLastRuneInString(body[:at])
	return before < utf8.RuneSelf && !inName(byte(before)) && before != '@' && before != '/' ||
		before >= utf8.RuneSelf && !wordy(before)
}

// endsHere reports whether a name may end at a place of body: not in the middle of a word of another
// alphabet, nor before another @.
func endsHere(body string, end int) bool {
	if end == len(body) {
		return true
	}
	after, _ := utf8.DecodeRuneInString(body[end:])
	return after != '@' && !wordy(after)
}
