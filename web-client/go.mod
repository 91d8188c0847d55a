module parley.chat/web-client

go 1.26.0

// Packages of npm may hold Go files; they are none of ours.
ignore (
	./node_modules
	./sdk/node_modules
)
