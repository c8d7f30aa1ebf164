# What `cmake --install` puts where; --prefix and DESTDIR work as usual.
install(TARGETS sallyport)

# The binary itself says what its configuration may hold.
install(CODE "
	set(folder \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}/sallyport\")
	file(MAKE_DIRECTORY \"\${folder}\")
	message(STATUS \"Installing: \${folder}/sallyport.schema.json\")
	execute_process(COMMAND \"$<TARGET_FILE:sallyport>\" schema
		OUTPUT_FILE \"\${folder}/sallyport.schema.json\" COMMAND_ERROR_IS_FATAL ANY)
")

install(FILES deploy/man/sallyport.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)

# The unit names the binary by its full path, and only the installation knows its prefix.
install(CODE "
	set(BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
	configure_file(\"${CMAKE_SOURCE_DIR}/deploy/systemd/sallyport.service.in\"
		\"${CMAKE_BINARY_DIR}/sallyport.service\" @ONLY)
")
install(FILES ${CMAKE_BINARY_DIR}/sallyport.service DESTINATION lib/systemd/system)

file(GLOB examples CONFIGURE_DEPENDS conf/examples/*.json)
install(FILES ${examples} DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
