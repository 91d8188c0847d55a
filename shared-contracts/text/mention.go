package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"parley.chat/shared-contracts/chat"
)

const (
	// Everyone is the name that stands for all members of a channel.
	Everyone = "channel"
	// MaxNames is how many different names of one message count: the first ones.
	MaxNames = 50
)

// Mentions is what a body mentions, by name.
type Mentions struct {
	// Names has one list per mention: the usernames that it may mean, in lower case, the longest first. "@bob." is
	// bob. or, at the end of a sentence, bob.
	Names    [][]string
	Everyone bool
}

// None reports whether the body mentions nobody.
func (m *Mentions) None() bool { return len(m.Names) == 0 && !m.Everyone }

// ParseMentions finds the mentions of a body. A mention is an @, and behind it the characters of a username. The @
// must not follow a letter, a digit, or another part of a name, so that an email address mentions nobody. Scripts
// that put no spaces between words, such as Japanese, may touch a mention on either side. Code mentions nobody.
func ParseMentions(body string) Mentions {
	var m Mentions
	seen := map[string]bool{}
	for _, span := range prose(body) {
		m.parse(span, seen)
	}
	return m
}

func (m *Mentions) parse(body string, seen map[string]bool) {
	for at := strings.IndexByte(body, '@'); at >= 0 && len(m.Names) < MaxNames; {
		end := at + 1
		for end < len(body) && inName(body[end]) {
			end++
		}
		name := strings.ToLower(body[at+1 : end])
		if startsHere(body, at) && endsHere(body, end) && !seen[name] {
			seen[name] = true
			m.add(name)
		}
		next := strings.IndexByte(body[end:], '@')
		if next < 0 {
			break
		}
		at = end + next
	}
}

// add adds what the text behind an @ may mean.
func (m *Mentions) add(text string) {
	var names []string
	for {
		if text == Everyone {
			m.Everyone = true
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
		m.Names = append(m.Names, names)
	}
}

const fence = "```"

// prose returns the parts of a body that are not code. Code is what stands between two fences of three backticks,
// and elsewhere between two backticks with something between them.
func prose(body string) []string {
	if strings.IndexByte(body, '`') < 0 {
		return []string{body}
	}
	var parts []string
	for {
		open := strings.Index(body, fence)
		length := -1
		if open >= 0 {
			length = strings.Index(body[open+len(fence):], fence)
		}
		if length < 0 {
			return withoutInlineCode(parts, body)
		}
		parts = withoutInlineCode(parts, body[:open])
		body = body[open+len(fence)+length+len(fence):]
	}
}

// withoutInlineCode appends the parts of text outside of inline code. A part keeps the backtick next to it, so that
// what precedes and follows a mention is known.
func withoutInlineCode(parts []string, text string) []string {
	start := 0
	for at := 0; at < len(text); {
		open := strings.IndexByte(text[at:], '`')
		if open < 0 {
			break
		}
		open += at
		length := strings.IndexByte(text[open+1:], '`')
		if length < 0 {
			break
		}
		if length == 0 {
			at = open + 1
			continue
		}
		parts = append(parts, text[start:open+1])
		start = open + 1 + length
		at = start + 1
	}
	return append(parts, text[start:])
}

// inName reports whether a username may have c.
func inName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '-'
}

// startsHere reports whether the @ at a place of body may begin a mention.
func startsHere(body string, at int) bool {
	if at == 0 {
		return true
	}
	before, _ := utf8.DecodeLastRuneInString(body[:at])
	return before < utf8.RuneSelf && !inName(byte(before)) && before != '@' && before != '/' ||
		before >= utf8.RuneSelf && !joins(before)
}

// endsHere reports whether a name may end at a place of body.
func endsHere(body string, end int) bool {
	if end == len(body) {
		return true
	}
	after, _ := utf8.DecodeRuneInString(body[end:])
	return after != '@' && !joins(after)
}

// joins reports whether a rune outside ASCII next to a mention belongs to the same word.
func joins(r rune) bool {
	return r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r)) && !unspaced(r)
}

// unspaced reports whether r belongs to a script that puts no spaces between words, or none before a particle: Thai
// and Lao, Myanmar, Khmer, and those of China, Japan and Korea. The page has the same ranges.
func unspaced(r rune) bool {
	return r >= 0x0e00 && r <= 0x0eff || r >= 0x1000 && r <= 0x109f || r >= 0x1100 && r <= 0x11ff ||
		r >= 0x1780 && r <= 0x17ff || r >= 0x2e80 && r <= 0x9fff || r >= 0xac00 && r <= 0xd7ff ||
		r >= 0xf900 && r <= 0xfaff || r >= 0xff66 && r <= 0xffdc || r >= 0x20000 && r <= 0x3ffff
}
