package docsite

import "parley.chat/chat-service/internal/reference"

// entry is an entry of the search index. The script searches in Title and Text.
type entry struct {
	Kind  string `json:"kind"` // such as "operation"; shown next to the title
	Title string `json:"title"`
	Text  string `json:"text,omitempty"`
	Path  string `json:"path"` // with the fragment
}

func referenceEntries(ref *reference.Reference) []entry {
	var list []entry
	at := func(id string) string { return Root + "#" + id }
	for _, s := range ref.Sections {
		list = append(list, entry{"section", title(s.Name), "", at(tagID(s.Name))})
		for _, o := range s.Operations {
			list = append(list, entry{"operation", o.ID, o.Method + " " + o.Path + ": " + o.Summary, at(o.ID)})
			for _, p := range o.Parameters {
				list = append(list, entry{"parameter", p.Name, p.In + " of " + o.ID, at(o.ID + "." + p.Name)})
			}
		}
	}
	for _, p := range ref.Problems {
		list = append(list, entry{"error", p.Code, plainOf(p.Meaning), at(errorID(p.Code))})
	}
	for _, s := range ref.Schemas {
		list = append(list, entry{"schema", s.Name, plainOf(s.Description), at(schemaID(s.Name))})
		for _, f := range s.Fields {
			list = append(list, entry{"field", f.Name, s.Name, at(schemaID(s.Name) + "." + f.Name)})
		}
	}
	return list
}
