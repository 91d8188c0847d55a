// Package docs embeds the documents that chat-service serves at /docs, in addition to the reference
// that it renders from openapi.yaml.
package docs

import "embed"

// Files contains the documents by their names in this folder.
//
//go:embed websocket.md websocket.schema.json
var Files embed.FS
