package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"parley.chat/shared-contracts/chat"
)

const (
	// Everyone is the name that mentions all members of a channel: @channel.
	Everyone = "channel"
	// MaxNames is the maximum number of distinct names mentioned in a message. Further names are
	// ignored.
	MaxNames = 50
)

// Mentions holds the names that a body mentions.
type Mentions struct {
	// Names has one list per mention. The list contains the usernames to which the mention may
	// refer, in lower case, longest first. For example, "@bob." may mean "bob." or, at the end of a
	// sentence, "bob".
	Names    [][]string
	Everyone bool
}

// None reports whether the body mentions no one.
func (m *Mentions) None() bool { return len(m.Names) == 0 && !m.Everyone }

// ParseMentions finds the mentions in a body. A mention is an @ followed by the characters of a
// username. The @ must not follow a letter, a digit, or another character of a name, so an email
// address is not a mention. In scripts without spaces between words, such as Japanese, a mention
// may directly follow or precede other text. Text in code is never a mention.
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

// add records the names to which the text after an @ may refer.
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

// prose returns the parts of a body that are not code. Code is text between two fences of three
// backticks and, elsewhere, non-empty text between two single backticks.
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

// withoutInlineCode appends the parts of text outside inline code. Each part includes the adjacent
// backticks, so that the characters next to a mention are known.
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

// inName reports whether c may occur in a username.
func inName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '-'
}

// startsHere reports whether the @ at offset at in body may start a mention.
func startsHere(body string, at int) bool {
	if at == 0 {
		return true
	}
	before, _ := utf8.DecodeLastRuneInString(body[:at])
	return before < utf8.RuneSelf && !inName(byte(before)) && before != '@' && before != '/' ||
		before >= utf8.RuneSelf && !joins(before)
}

// endsHere reports whether a name may end at offset end in body.
func endsHere(body string, end int) bool {
	if end == len(body) {
		return true
	}
	after, _ := utf8.DecodeRuneInString(body[end:])
	return after != '@' && !joins(after)
}

// joins reports whether r is a non-ASCII rune that belongs to the same word as an adjacent mention.
func joins(r rune) bool {
	return r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r)) && !unspaced(r)
}

// unspaced reports whether r belongs to a script that uses no spaces between words or before
// particles: Thai, Lao, Myanmar, Khmer, and the scripts of China, Japan and Korea. The web page
// uses the same ranges.
func unspaced(r rune) bool {
	return r >= 0x0e00 && r <= 0x0eff || r >= 0x1000 && r <= 0x109f || r >= 0x1100 && r <= 0x11ff ||
		r >= 0x1780 && r <= 0x17ff || r >= 0x2e80 && r <= 0x9fff || r >= 0xac00 && r <= 0xd7ff ||
		r >= 0xf900 && r <= 0xfaff || r >= 0xff66 && r <= 0xffdc || r >= 0x20000 && r <= 0x3ffff
}
