// Command ws-server holds WebSocket connections. See --help for its settings.
package main

import (
	"parley.chat/internal/platform/lifecycle"
	wsserver "parley.chat/ws-server"
)

func main() { lifecycle.Main(wsserver.Run) }
