// Package api defines the REST API as described by docs/openapi.yaml. oapi-codegen generates the
// types of requests and responses and the interface of the handlers. The package also contains the
// document itself, for the code that validates requests against it or displays it.
//
// To change the API, edit the document and run make generate. If no feature implements a method of
// StrictServerInterface, the service does not compile.
package api

import (
	_ "embed"
	"fmt"

	"github.com/getkin/kin-openapi/openapi3"
)

// Document is docs/openapi.yaml.
//
//go:embed openapi.yaml
var Document []byte

// Load parses and validates Document. It does not validate the examples; package reference does.
func Load() (*openapi3.T, error) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(Document)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	if err := doc.Validate(loader.Context, openapi3.EnableSchemaPatternValidation(), openapi3.DisableExamplesValidation()); err != nil {
		return nil, fmt.Errorf("check openapi.yaml: %w", err)
	}
	return doc, nil
}
