module parley.chat/docs

go 1.26.0
