package docpage

import (
	"html/template"
	"regexp"
	"strings"
)

var (
	strong = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	code   = regexp.MustCompile("`([^`]+)`")
)

// text converts the Markdown that the document's descriptions use: paragraphs, bold text and code.
func text(s string) template.HTML {
	var out strings.Builder
	for paragraph := range strings.SplitSeq(strings.TrimSpace(s), "\n\n") {
		if paragraph = strings.TrimSpace(paragraph); paragraph == "" {
			continue
		}
		p := template.HTMLEscapeString(paragraph)
		p = strong.ReplaceAllString(p, "<strong>$1</strong>")
		p = code.ReplaceAllString(p, "<code>$1</code>")
		out.WriteString("<p>" + p + "</p>")
	}
	return template.HTML(out.String()) // escaped above
}
