module parley.chat/client

go 1.26.0

require (
	github.com/gorilla/websocket v1.5.3
	go.uber.org/goleak v1.3.0
	golang.org/x/term v0.47.0
	parley.chat/shared-contracts v0.0.0
)

require (
	github.com/google/uuid v1.6.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace parley.chat/shared-contracts => ../shared-contracts
