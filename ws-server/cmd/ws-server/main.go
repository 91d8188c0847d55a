// Command ws-server is the gateway: it accepts and holds clients' WebSocket connections. See --help
// for its settings.
package main

import (
	"parley.chat/internal/platform/lifecycle"
	wsserver "parley.chat/ws-server"
)

func main() { lifecycle.Main(wsserver.Run) }
