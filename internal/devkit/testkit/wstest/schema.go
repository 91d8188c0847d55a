package wstest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Schema is the compiled docs/websocket.schema.json, which defines the frames of the server and the
// client.
type Schema struct {
	Path   string
	server map[string]*jsonschema.Schema // by type
	client map[string]*jsonschema.Schema

	mu   sync.Mutex
	seen map[string]struct{} // valid frames, so that a frame sent to many connections is validated once
}

// LoadSchema returns the schema. The first call reads and compiles it.
var LoadSchema = sync.OnceValues(loadSchema)

func loadSchema() (*Schema, error) {
	path, err := findSchema()
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("wstest: %w", err)
	}
	defer file.Close()
	doc, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		return nil, fmt.Errorf("wstest: read %s: %w", path, err)
	}
	const url = "file:///websocket.schema.json"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource(url, doc); err != nil {
		return nil, fmt.Errorf("wstest: compile %s: %w", path, err)
	}
	root, _ := doc.(map[string]any)
	defs, _ := root["$defs"].(map[string]any)
	s := &Schema{
		Path: path, seen: make(map[string]struct{}),
		server: make(map[string]*jsonschema.Schema), client: make(map[string]*jsonschema.Schema),
	}
	for name := range defs {
		side, kind, _ := strings.Cut(name, "_")
		into := map[string]map[string]*jsonschema.Schema{"server": s.server, "client": s.client}[side]
		if into == nil || kind == "frame" {
			continue
		}
		if into[kind], err = c.Compile(url + "#/$defs/" + name); err != nil {
			return nil, fmt.Errorf("wstest: compile %s: %w", path, err)
		}
	}
	if len(s.server) == 0 || len(s.client) == 0 {
		return nil, fmt.Errorf("wstest: %s defines no frames", path)
	}
	return s, nil
}

// findSchema searches for the schema in the workspace's docs folder. It searches upward from the
// working directory, which is the folder of the package under test, and then from the folder of
// this source file.
func findSchema() (string, error) {
	const name = "docs/websocket.schema.json"
	var from []string
	if dir, err := os.Getwd(); err == nil {
		from = append(from, dir)
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) { // not absolute with -trimpath
		from = append(from, filepath.Dir(file))
	}
	for _, dir := range from {
		for ; ; dir = filepath.Dir(dir) {
			path := filepath.Join(dir, filepath.FromSlash(name))
			if _, err := os.Stat(path); err == nil {
				return path, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", fmt.Errorf("wstest: no %s above %s", name, strings.Join(from, " or "))
}

// Types returns the frame types that the schema defines for a side, "server" or "client".
func (s *Schema) Types(side string) []string {
	defs := s.server
	if side == "client" {
		defs = s.client
	}
	types := make([]string, 0, len(defs))
	for t := range defs {
		types = append(types, t)
	}
	return types
}

// CheckServer validates a frame from the server. It returns an error that describes the violation,
// or nil if the frame is valid.
func (s *Schema) CheckServer(frame []byte) error {
	const remembered = 1 << 16
	s.mu.Lock()
	_, known := s.seen[string(frame)]
	s.mu.Unlock()
	if known {
		return nil
	}
	if err := check(s.server, frame); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) >= remembered {
		clear(s.seen)
	}
	s.seen[string(frame)] = struct{}{}
	return nil
}

// CheckClient validates a frame from a client. It returns an error that describes the violation, or
// nil if the frame is valid.
func (s *Schema) CheckClient(frame []byte) error { return check(s.client, frame) }

func check(defs map[string]*jsonschema.Schema, frame []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(frame))
	if err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	object, ok := v.(map[string]any)
	if !ok {
		return errors.New("not an object")
	}
	kind, _ := object["type"].(string)
	def := defs[kind]
	if def == nil {
		return fmt.Errorf("no definition for type %q", kind)
	}
	if err := def.Validate(v); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}
