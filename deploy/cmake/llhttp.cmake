# Target `llhttp`: the parser of HTTP/1 heads. A library where the system has one (Debian 13); else
# its C sources, which Debian 12 has in node-llhttp, compiled here in strict mode.
pkg_check_modules(LLHTTP IMPORTED_TARGET libllhttp)
if(LLHTTP_FOUND)
	add_library(llhttp INTERFACE)
	target_link_libraries(llhttp INTERFACE PkgConfig::LLHTTP)
	message(STATUS "HTTP/1 parser: libllhttp ${LLHTTP_VERSION}")
	return()
endif()

find_path(LLHTTP_SOURCE_DIR NAMES llhttp.c PATHS /usr/share/llhttp NO_DEFAULT_PATH)
find_path(LLHTTP_INCLUDE_DIR NAMES llhttp.h PATHS /usr/share/include/llhttp NO_DEFAULT_PATH)
if(NOT LLHTTP_SOURCE_DIR OR NOT LLHTTP_INCLUDE_DIR)
	message(FATAL_ERROR "llhttp is missing: install libllhttp-dev (Debian 13) "
		"or node-llhttp (Debian 12)")
endif()
message(STATUS "HTTP/1 parser: llhttp, from ${LLHTTP_SOURCE_DIR}")
add_library(llhttp STATIC ${LLHTTP_SOURCE_DIR}/api.c ${LLHTTP_SOURCE_DIR}/http.c
	${LLHTTP_SOURCE_DIR}/llhttp.c)
target_include_directories(llhttp SYSTEM PUBLIC ${LLHTTP_INCLUDE_DIR})
target_compile_definitions(llhttp PUBLIC LLHTTP_STRICT_MODE=1)
target_compile_options(llhttp PRIVATE -w)
set_target_properties(llhttp PROPERTIES C_VISIBILITY_PRESET hidden)
