package docsite

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"path"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// markdown converts documents.
var markdown = goldmark.New(
	goldmark.WithExtensions(extension.Table),
	goldmark.WithParserOptions(parser.WithAutoHeadingID()),
	goldmark.WithRendererOptions(renderer.WithNodeRenderers(util.Prioritized(elements{}, 100))),
)

// document is a converted document.
type document struct {
	html     html
	sections []section // the second-level headings; each contains its third-level headings
	entries  []entry   // paths are only fragments
}

// article converts a whole document.
func article(source []byte) (document, error) {
	root := markdown.Parser().Parse(text.NewReader(source))
	var d document
	var heading *ast.Heading // the last one
	err := ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.RawHTML, *ast.HTMLBlock:
			return ast.WalkStop, errors.New("HTML in a document would be left out")
		case *ast.Heading:
			heading = n
			d.addHeading(n, source)
		case *ast.Link:
			to, err := resolve(string(n.Destination))
			if err != nil {
				return ast.WalkStop, err
			}
			n.Destination = []byte(to)
		case *extast.Table:
			if heading != nil {
				n.SetAttributeString(labelAttribute, "Table: "+plain(heading, source))
			}
		case *extast.TableRow:
			d.addRow(n, heading, source)
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return document{}, err
	}
	var out bytes.Buffer
	if err := markdown.Renderer().Render(&out, source, root); err != nil {
		return document{}, fmt.Errorf("render: %w", err)
	}
	d.html = html(out.String()) // goldmark has escaped it
	return d, nil
}

func (d *document) addHeading(n *ast.Heading, source []byte) {
	s := section{ID: idOf(n), Title: plain(n, source)}
	switch {
	case n.Level == 2:
		d.sections = append(d.sections, s)
	case n.Level == 3 && len(d.sections) > 0:
		last := &d.sections[len(d.sections)-1]
		last.Sections = append(last.Sections, s)
	}
	d.entries = append(d.entries, entry{"section", s.Title, "", "#" + s.ID})
}

// addRow adds the names in the first cell of a table row, such as frame types or error codes, to
// the search index.
func (d *document) addRow(row *extast.TableRow, heading *ast.Heading, source []byte) {
	if heading == nil || row.FirstChild() == nil {
		return
	}
	about := plain(heading, source)
	if next := row.FirstChild().NextSibling(); next != nil {
		about += ": " + plain(next, source)
	}
	for n := row.FirstChild().FirstChild(); n != nil; n = n.NextSibling() {
		if n.Kind() == ast.KindCodeSpan {
			d.entries = append(d.entries, entry{"protocol", plain(n, source), about, "#" + idOf(heading)})
		}
	}
}

// textOf converts a description in the API document to HTML.
func textOf(source string) (html, error) {
	d, err := article([]byte(source))
	return d.html, err
}

// plainOf returns the text of a description without its Markdown formatting.
func plainOf(source string) string {
	return plain(markdown.Parser().Parse(text.NewReader([]byte(source))), []byte(source))
}

// resolve returns the address of a link's target on this site. A document links to other documents
// by their file names, so that the links work in the repository as well.
func resolve(link string) (string, error) {
	if strings.HasPrefix(link, "#") || strings.HasPrefix(link, Root) || strings.HasPrefix(link, "https://") {
		return link, nil
	}
	file, fragment, found := strings.Cut(link, "#")
	if found {
		fragment = "#" + fragment
	}
	for _, a := range articles {
		if path.Clean(file) == a.file {
			return a.path + fragment, nil
		}
	}
	for _, d := range downloads {
		if path.Clean(file) == d.file {
			return d.path + fragment, nil
		}
	}
	if path.Clean(file) == "openapi.yaml" {
		return Root + fragment, nil
	}
	return "", fmt.Errorf("a link to %s, which is not part of the site", link)
}

// plain returns the text of a node without its formatting.
func plain(n ast.Node, source []byte) string {
	var out strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the function returns no errors
		if t, ok := n.(*ast.Text); ok && entering {
			out.Write(t.Segment.Value(source))
			if t.SoftLineBreak() {
				out.WriteByte(' ')
			}
		}
		return ast.WalkContinue, nil
	})
	return out.String()
}

func idOf(n *ast.Heading) string {
	id, _ := n.AttributeString("id")
	b, _ := id.([]byte)
	return string(b)
}

// labelAttribute is the node attribute in which the parser stores a table's accessible name for the
// renderer.
const labelAttribute = "data-label"

// elements renders the elements that need more than plain HTML. A heading links to itself, a table
// scrolls in its own box, and lines that contain frames are highlighted.
type elements struct{}

// RegisterFuncs implements renderer.NodeRenderer.
func (elements) RegisterFuncs(reg renderer.NodeRendererFuncRegisterer) {
	reg.Register(ast.KindHeading, heading)
	reg.Register(extast.KindTable, table)
	reg.Register(ast.KindFencedCodeBlock, codeBlock)
}

func heading(w util.BufWriter, _ []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	n := node.(*ast.Heading)
	id := template.HTMLEscapeString(idOf(n))
	switch {
	case n.Level == 1 && entering:
		fmt.Fprintf(w, `<h1 id="%s">`, id)
	case n.Level == 1:
		fmt.Fprint(w, "</h1>\n")
	case entering:
		fmt.Fprintf(w, `<h%d id="%s"><a href="#%s">`, n.Level, id, id)
	default:
		fmt.Fprintf(w, "</a></h%d>\n", n.Level)
	}
	return ast.WalkContinue, nil
}

// table renders a table that can be scrolled with the keyboard. The table therefore has an
// accessible name and can receive the focus.
func table(w util.BufWriter, _ []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		label, _ := node.AttributeString(labelAttribute)
		name, _ := label.(string)
		fmt.Fprintf(w, `<div class="table" role="group" tabindex="0" aria-label="%s"><table>`+"\n", template.HTMLEscapeString(name))
	} else {
		fmt.Fprint(w, "</table></div>\n")
	}
	return ast.WalkContinue, nil
}

// frameType matches the type of a frame in HTML-escaped JSON.
var frameType = regexp.MustCompile(`(\{&#34;type&#34;:&#34;)(\w+)(&#34;)`)

// codeBlock renders a code block. A line that begins with an arrow contains a frame; if it is too
// long, it is wrapped and its continuation is indented.
func codeBlock(w util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	fmt.Fprint(w, "<pre><code>")
	for i := range node.Lines().Len() {
		line := node.Lines().At(i)
		escaped := template.HTMLEscapeString(string(line.Value(source)))
		arrow, rest, _ := strings.Cut(escaped, " ")
		class, isFrame := map[string]string{"→": "sent", "←": "received"}[arrow]
		if !isFrame {
			fmt.Fprint(w, escaped)
			continue
		}
		rest = frameType.ReplaceAllString(rest, "$1<b>$2</b>$3")
		rest = strings.ReplaceAll(rest, ",&#34;", ",<wbr>&#34;") // the best places to break a line
		fmt.Fprintf(w, `<span class="frame %s"><i>%s</i> %s</span>`, class, arrow, rest)
	}
	fmt.Fprint(w, "</code></pre>\n")
	return ast.WalkContinue, nil
}
