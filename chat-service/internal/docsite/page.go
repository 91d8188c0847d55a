package docsite

import (
	"bytes"
	"fmt"
	"html/template"
	"strings"

	"parley.chat/chat-service/internal/reference"
)

// html is HTML that templates do not escape again.
type html = template.HTML

// frame holds the data for the parts of a page that are the same on all pages.
type frame struct {
	Pages                []page
	Style, Script, Index string // paths
}

// around returns the complete HTML document of a page.
func (f frame) around(p page) ([]byte, error) {
	return execute("frame.html", map[string]any{"Frame": f, "Page": p})
}

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"text": textOf, "title": title, "tagID": tagID, "errorID": errorID, "schemaID": schemaID,
}).ParseFS(sources, "*.html"))

// execute fills in a template.
func execute(name string, data any) ([]byte, error) {
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, data); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	return out.Bytes(), nil
}

// title returns a name with its first letter capitalized.
func title(name string) string {
	if name == "" {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// These functions return the element ids on the reference page. The ids must not change, because
// external links contain them.
func tagID(tag string) string       { return "tag-" + tag }
func errorID(code string) string    { return "error-" + code }
func schemaID(schema string) string { return "schema-" + schema }

// referencePage renders the REST API reference.
func referencePage(ref *reference.Reference) (page, error) {
	body, err := execute("reference.html", ref)
	if err != nil {
		return page{}, err
	}
	p := page{Path: Root, Title: "REST API", Body: html(body), Entries: referenceEntries(ref)} // the template has escaped it
	p.Sections = append(p.Sections, section{ID: "overview", Title: "Overview"}, section{ID: "examples", Title: "Examples"})
	for _, s := range ref.Sections {
		part := section{ID: tagID(s.Name), Title: title(s.Name)}
		for _, o := range s.Operations {
			part.Sections = append(part.Sections, section{ID: o.ID, Title: o.Summary, Method: o.Method})
		}
		p.Sections = append(p.Sections, part)
	}
	p.Sections = append(p.Sections, section{ID: "errors", Title: "Error codes"}, section{ID: "schemas", Title: "Schemas"})
	return p, nil
}

// articlePage renders a document that is written in Markdown.
func articlePage(at, name string, source []byte) (page, error) {
	a, err := article(source)
	if err != nil {
		return page{}, err
	}
	p := page{Path: at, Title: name, Body: a.html, Sections: a.sections}
	for _, e := range a.entries {
		e.Path = at + e.Path
		p.Entries = append(p.Entries, e)
	}
	return p, nil
}
