# Finds BoringSSL or AWS-LC, never OpenSSL, and probes what it offers.
#
#   BORINGSSL_ROOT    prefix (or build tree) of another library than Debian's package
#
# Defines BoringSSL::SSL and BoringSSL::Crypto, BoringSSL_VERSION (the API version),
# BoringSSL_KIND, and a cache variable HAVE_... for each feature.
include(CheckSymbolExists)
include(CMakePushCheckState)
include(FindPackageHandleStandardArgs)

set(BORINGSSL_ROOT "" CACHE PATH "Prefix of another BoringSSL or AWS-LC than Debian's")
set(_features HAVE_SSL_CREDENTIAL HAVE_X25519MLKEM768 HAVE_SSL_GET_GROUP_ID
	HAVE_SSL_SET1_GROUP_IDS)

# Another prefix: whatever was found and probed in the last one says nothing about it.
if(NOT "${BORINGSSL_ROOT}" STREQUAL "${_BORINGSSL_ROOT_SEEN}")
	foreach(_v BoringSSL_INCLUDE_DIR BoringSSL_SSL_LIBRARY BoringSSL_CRYPTO_LIBRARY ${_features})
		unset(${_v} CACHE)
	endforeach()
	set(_BORINGSSL_ROOT_SEEN "${BORINGSSL_ROOT}" CACHE INTERNAL "prefix the probes were made in")
endif()

if(BORINGSSL_ROOT)
	set(_inc ${BORINGSSL_ROOT}/include)
	set(_lib ${BORINGSSL_ROOT}/lib ${BORINGSSL_ROOT}/lib64
		${BORINGSSL_ROOT}/lib/${CMAKE_LIBRARY_ARCHITECTURE}
		${BORINGSSL_ROOT}/build ${BORINGSSL_ROOT}/build/ssl ${BORINGSSL_ROOT}/build/crypto)
else()
	set(_inc /usr/include/android)
	set(_lib /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/android /usr/lib/android)
endif()

# NO_DEFAULT_PATH: OpenSSL lies in /usr/include and /usr/lib under the same names.
find_path(BoringSSL_INCLUDE_DIR openssl/ssl.h PATHS ${_inc} NO_DEFAULT_PATH)
find_library(BoringSSL_SSL_LIBRARY NAMES ssl PATHS ${_lib} NO_DEFAULT_PATH)
find_library(BoringSSL_CRYPTO_LIBRARY NAMES crypto PATHS ${_lib} NO_DEFAULT_PATH)

if(BoringSSL_INCLUDE_DIR)
	# AWS-LC names its API version otherwise, and may name both; its own is the first.
	foreach(_kind AWSLC BORINGSSL)
		if(NOT EXISTS ${BoringSSL_INCLUDE_DIR}/openssl/base.h) # OpenSSL has none
			break()
		endif()
		file(STRINGS ${BoringSSL_INCLUDE_DIR}/openssl/base.h _line
			REGEX "define ${_kind}_API_VERSION[ \t]+[0-9]+" LIMIT_COUNT 1)
		if(_line)
			string(REGEX MATCH "_API_VERSION[ \t]+([0-9]+)" _ "${_line}")
			set(BoringSSL_VERSION ${CMAKE_MATCH_1})
			set(BoringSSL_KIND ${_kind})
			break()
		endif()
	endforeach()
	if(NOT BoringSSL_VERSION)
		message(FATAL_ERROR "${BoringSSL_INCLUDE_DIR}/openssl belongs to OpenSSL or is damaged; "
			"Sallyport needs BoringSSL or AWS-LC (-DBORINGSSL_ROOT=PREFIX)")
	endif()
	if(BoringSSL_KIND STREQUAL BORINGSSL AND BoringSSL_VERSION LESS 17)
		message(FATAL_ERROR "BoringSSL API ${BoringSSL_VERSION} is too old, 17 is needed")
	endif()
endif()

find_package_handle_standard_args(BoringSSL
	REQUIRED_VARS BoringSSL_SSL_LIBRARY BoringSSL_CRYPTO_LIBRARY BoringSSL_INCLUDE_DIR
	VERSION_VAR BoringSSL_VERSION
	REASON_FAILURE_MESSAGE
	"install android-libboringssl-dev, or give -DBORINGSSL_ROOT=PREFIX of another one")
mark_as_advanced(BoringSSL_INCLUDE_DIR BoringSSL_SSL_LIBRARY BoringSSL_CRYPTO_LIBRARY)

if(BoringSSL_FOUND AND NOT TARGET BoringSSL::SSL)
	find_package(Threads REQUIRED)
	foreach(_t Crypto SSL)
		string(TOUPPER ${_t} _u)
		add_library(BoringSSL::${_t} UNKNOWN IMPORTED)
		# Imported includes are -isystem: after our -I, before /usr/include.
		set_target_properties(BoringSSL::${_t} PROPERTIES
			IMPORTED_LOCATION ${BoringSSL_${_u}_LIBRARY}
			INTERFACE_INCLUDE_DIRECTORIES ${BoringSSL_INCLUDE_DIR})
	endforeach()
	target_link_libraries(BoringSSL::Crypto INTERFACE Threads::Threads)
	target_link_libraries(BoringSSL::SSL INTERFACE BoringSSL::Crypto)
	# Inside it is C++; a shared library brings that along itself, an archive does not.
	foreach(_t Crypto SSL)
		string(TOUPPER ${_t} _u)
		if(BoringSSL_${_u}_LIBRARY MATCHES "\\.a$")
			target_link_libraries(BoringSSL::${_t} INTERFACE stdc++)
		endif()
	endforeach()
endif()

if(BoringSSL_FOUND)
	# By linking, not by version: forks and snapshots number themselves as they like.
	cmake_push_check_state(RESET)
	set(CMAKE_REQUIRED_LIBRARIES BoringSSL::SSL)
	check_symbol_exists(SSL_CREDENTIAL_new_x509 openssl/ssl.h HAVE_SSL_CREDENTIAL)
	check_symbol_exists(SSL_GROUP_X25519_MLKEM768 openssl/ssl.h HAVE_X25519MLKEM768)
	check_symbol_exists(SSL_get_group_id openssl/ssl.h HAVE_SSL_GET_GROUP_ID)
	check_symbol_exists(SSL_CTX_set1_group_ids openssl/ssl.h HAVE_SSL_SET1_GROUP_IDS)
	cmake_pop_check_state()
endif()
