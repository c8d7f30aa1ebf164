#include "proxy/http/uri.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum { URI_HOST_MAX = 253, URI_PORT_DIGITS = 5, URI_V6_GROUPS = 8 };

/* What a character may be. U: unreserved (RFC 3986 2.3), P: of a path beside that and '/', Q: of a
 * query only. Browsers send some of P and Q raw though the grammar has no place for them ("[]|^"
 * in paths, more in queries); nobody reads those in two ways. What is in neither is refused. */
enum { U = 1, P = 2, Q = 4, PATH = U | P, QUERY = U | P | Q };

static const uint8_t uri_chars[256] = {
	[' '] = 0, ['!'] = P, ['"'] = Q, ['#'] = 0, ['$'] = P,	['%'] = Q, ['&'] = P, ['\''] = P,
	['('] = P, [')'] = P, ['*'] = P, ['+'] = P, [','] = P,	['-'] = U, ['.'] = U, ['/'] = P,
	['0'] = U, ['1'] = U, ['2'] = U, ['3'] = U, ['4'] = U,	['5'] = U, ['6'] = U, ['7'] = U,
	['8'] = U, ['9'] = U, [':'] = P, [';'] = P, ['<'] = Q,	['='] = P, ['>'] = Q, ['?'] = Q,
	['@'] = P, ['A'] = U, ['B'] = U, ['C'] = U, ['D'] = U,	['E'] = U, ['F'] = U, ['G'] = U,
	['H'] = U, ['I'] = U, ['J'] = U, ['K'] = U, ['L'] = U,	['M'] = U, ['N'] = U, ['O'] = U,
	['P'] = U, ['Q'] = U, ['R'] = U, ['S'] = U, ['T'] = U,	['U'] = U, ['V'] = U, ['W'] = U,
	['X'] = U, ['Y'] = U, ['Z'] = U, ['['] = P, ['\\'] = Q, [']'] = P, ['^'] = P, ['_'] = U,
	['`'] = Q, ['a'] = U, ['b'] = U, ['c'] = U, ['d'] = U,	['e'] = U, ['f'] = U, ['g'] = U,
	['h'] = U, ['i'] = U, ['j'] = U, ['k'] = U, ['l'] = U,	['m'] = U, ['n'] = U, ['o'] = U,
	['p'] = U, ['q'] = U, ['r'] = U, ['s'] = U, ['t'] = U,	['u'] = U, ['v'] = U, ['w'] = U,
	['x'] = U, ['y'] = U, ['z'] = U, ['{'] = P, ['|'] = P,	['}'] = P, ['~'] = U,
};

static uint8_t kind(char c)
{
	return uri_chars[(uint8_t)c];
}

static const char *refusal(char c)
{
	if (c == '#')
		return "fragment in target";
	return c == '\\' ? "backslash in path" : "character not allowed in target";
}

static bool check_query(struct span query, const char **why)
{
	for (size_t i = 0; i < query.n; i++) {
		if ((kind(query.p[i]) & QUERY) == 0) {
			*why = refusal(query.p[i]);
			return false;
		}
	}
	return true;
}

/* A path with neither escapes nor a segment that begins with a dot is in its form already. */
static bool is_plain(struct span path)
{
	for (size_t i = 0; i < path.n; i++) {
		if ((kind(path.p[i]) & PATH) == 0)
			return false;
		if (path.p[i] == '.' && path.p[i - 1] == '/')
			return false;
	}
	return true;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A path on its way from `in` to `out`, which never gets ahead. */
struct walk {
	struct span in;
	size_t read;
	char *out;
	size_t written, segment, piece; /* the latter: where the last begins in `out` */
	bool reject_slashes, in_pieces;
	const char *why;
};

static bool refuse(struct walk *w, const char *why)
{
	w->why = why;
	return false;
}

/* How many dots a piece is, parameters aside: some backends cut ";x" off and then see "..". */
static unsigned dots_of(const char *p, size_t n, bool *has_parameters)
{
	unsigned dots = 0;

	while (dots < n && dots < 3 && p[dots] == '.')
		dots++;
	if (dots == 0 || dots == 3)
		return 0;
	*has_parameters = dots < n;
	if (dots < n && p[dots] != ';' && (n - dots < 3 || memcmp(p + dots, "%3B", 3) != 0))
		return 0;
	return dots;
}

/* Ends a part of a segment at an encoded slash: were it decoded, it would be a segment. */
static bool end_piece(struct walk *w)
{
	bool has_parameters;

	if (dots_of(w->out + w->piece, w->written - w->piece, &has_parameters) != 0)
		return refuse(w, "encoded slash beside a dot segment");
	return true;
}

static bool take_escape(struct walk *w)
{
	static const char hex[] = "0123456789ABCDEF";
	int high, low;
	char c;

	if (w->in.n - w->read < 3 || (high = hex_value(w->in.p[w->read + 1])) < 0 ||
	    (low = hex_value(w->in.p[w->read + 2])) < 0)
		return refuse(w, "bad escape in path");
	c = (char)(high * 16 + low);
	if (c == '\0')
		return refuse(w, "encoded NUL in path");
	w->read += 3;
	if (kind(c) & U) {
		w->out[w->written++] = c;
		return true;
	}
	if (c == '/' || c == '\\') {
		if (w->reject_slashes)
			return refuse(w, "encoded slash in path");
		if (!end_piece(w))
			return false;
		w->in_pieces = true;
		w->piece = w->written + 3;
	}
	w->out[w->written++] = '%';
	w->out[w->written++] = hex[high];
	w->out[w->written++] = hex[low];
	return true;
}

static bool take_segment(struct walk *w)
{
	w->segment = w->piece = w->written;
	w->in_pieces = false;
	while (w->read < w->in.n && w->in.p[w->read] != '/') {
		char c = w->in.p[w->read];

		if (c == '%') {
			if (!take_escape(w))
				return false;
		} else if (kind(c) & PATH) {
			w->out[w->written++] = c;
			w->read++;
		} else {
			return refuse(w, refusal(c));
		}
	}
	return !w->in_pieces || end_piece(w);
}

/* Takes off the last segment and what ".." leaves of itself. RFC 3986 5.2.4 stops at the root;
 * who asks for more than that means something else than what would come of it. */
static bool go_up(struct walk *w)
{
	if (w->segment <= 1)
		return refuse(w, "path leads above the root");
	w->written = w->segment - 1;
	while (w->out[w->written - 1] != '/')
		w->written--;
	return true;
}

static bool end_segment(struct walk *w)
{
	bool is_last = w->read == w->in.n, has_parameters = false;
	unsigned dots = dots_of(w->out + w->segment, w->written - w->segment, &has_parameters);

	if (dots != 0 && has_parameters)
		return refuse(w, "dot segment with parameters");
	if (dots == 2) {
		if (!go_up(w))
			return false;
	} else if (dots == 1) {
		w->written = w->segment;
	} else if (!is_last) {
		w->out[w->written++] = '/';
	}
	w->read++; /* the slash, or one past the end */
	return true;
}

static bool normalise(struct walk *w)
{
	w->out[w->written++] = '/';
	w->read = 1;
	do {
		if (!take_segment(w) || !end_segment(w))
			return false;
	} while (w->read <= w->in.n);
	return true;
}

bool uri_normalise(struct span target, bool reject_escaped_slashes, char *out, struct uri *uri,
		   const char **why)
{
	const char *mark = target.n == 0 ? NULL : memchr(target.p, '?', target.n);
	size_t path_len = mark == NULL ? target.n : (size_t)(mark - target.p);
	struct span query = span_of(target.p + path_len, target.n - path_len);
	struct walk w = { .in = span_of(target.p, path_len),
			  .out = out,
			  .reject_slashes = reject_escaped_slashes };

	if (target.n == 0 || (target.p[0] != '/' && !span_eq(target, span_str("*")))) {
		*why = "target does not begin with a slash";
		return false;
	}
	if (!check_query(query, why))
		return false;
	if (is_plain(w.in)) {
		memcpy(out, w.in.p, w.in.n);
		w.written = w.in.n;
	} else if (!normalise(&w)) {
		*why = w.why;
		return false;
	}
	if (query.n > 0)
		memcpy(out + w.written, query.p, query.n);
	*uri = (struct uri){ .path = span_of(out, w.written),
			     .query = span_of(out + w.written, query.n) };
	return true;
}

/* ---- authorities */

static bool parse_port(struct span digits, uint16_t *port)
{
	uint32_t value = 0;

	if (digits.n == 0) { /* "host:" (RFC 3986 3.2.3) */
		*port = 0;
		return true;
	}
	if (digits.n > URI_PORT_DIGITS)
		return false;
	for (size_t i = 0; i < digits.n; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			return false;
		value = value * 10 + (uint32_t)(digits.p[i] - '0');
	}
	if (value == 0 || value > UINT16_MAX)
		return false;
	*port = (uint16_t)value;
	return true;
}

/* Lower case, a label between two dots; "_" is in no host name, but in names of hosts. */
static bool take_name(struct span name, char *out, struct span *host)
{
	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	if (name.n == 0 || name.n > URI_HOST_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if ((kind(c) & U) == 0)
			return false;
		if (c == '.' && (i == 0 || i + 1 == name.n || name.p[i + 1] == '.'))
			return false;
		out[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
	}
	*host = span_of(out, name.n);
	return true;
}

static size_t put_group(char *out, unsigned group)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (unsigned shift = 16; shift > 0; shift -= 4) {
		unsigned digit = group >> (shift - 4) & 15;

		if (digit != 0 || n > 0 || shift == 4)
			out[n++] = hex[digit];
	}
	return n;
}

/* Which zeros "::" stands for: those that it makes shortest, the first of equals. At either end it
 * saves one character less than between two groups: nothing at all for a single one. */
static void find_zeros(const uint16_t groups[URI_V6_GROUPS], unsigned *start, unsigned *num)
{
	unsigned best = 1;

	*start = *num = 0;
	for (unsigned i = 0; i < URI_V6_GROUPS; i++) {
		unsigned end = i, saved;

		while (end < URI_V6_GROUPS && groups[end] == 0)
			end++;
		saved = 2 * (end - i) - (end > i && (i == 0 || end == URI_V6_GROUPS));
		if (saved > best) {
			best = saved;
			*start = i;
			*num = end - i;
		}
	}
}

/* The shortest spelling there is, so that it fits where any other did: "::" also for a single
 * group, and never dotted. */
static bool take_v6(struct span text, char *out, struct span *host)
{
	char copy[INET6_ADDRSTRLEN];
	uint16_t groups[URI_V6_GROUPS];
	struct in6_addr address;
	unsigned start, num;
	size_t n = 0;

	if (text.n == 0 || text.n >= sizeof(copy) || memchr(text.p, '\0', text.n) != NULL)
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	if (inet_pton(AF_INET6, copy, &address) != 1)
		return false;
	for (unsigned i = 0; i < URI_V6_GROUPS; i++)
		groups[i] = (uint16_t)(address.s6_addr[2 * i] << 8 | address.s6_addr[2 * i + 1]);
	find_zeros(groups, &start, &num);
	out[n++] = '[';
	for (unsigned i = 0; i < URI_V6_GROUPS;) {
		if (num > 0 && i == start) {
			out[n++] = ':';
			i += num;
			if (i == URI_V6_GROUPS)
				out[n++] = ':';
			continue;
		}
		if (i > 0)
			out[n++] = ':';
		n += put_group(out + n, groups[i++]);
	}
	out[n++] = ']';
	*host = span_of(out, n);
	return true;
}

bool uri_host(struct span authority, char *out, struct span *host, uint16_t *port)
{
	bool is_v6 = authority.n > 0 && authority.p[0] == '[';
	const char *end, *name;
	size_t name_len, rest;
	struct span found;
	uint16_t number = 0;

	if (authority.n == 0) {
		*host = span_of(out, 0);
		*port = 0;
		return true;
	}
	end = memchr(authority.p, is_v6 ? ']' : ':', authority.n);
	if (end == NULL && is_v6)
		return false;
	name = authority.p + is_v6;
	name_len = end == NULL ? authority.n : (size_t)(end - name);
	rest = is_v6 ? name_len + 2 : name_len;
	if (rest < authority.n &&
	    (authority.p[rest] != ':' ||
	     !parse_port(span_of(authority.p + rest + 1, authority.n - rest - 1), &number)))
		return false;
	if (is_v6 ? !take_v6(span_of(name, name_len), out, &found)
		  : !take_name(span_of(name, name_len), out, &found))
		return false;
	*host = found;
	*port = number;
	return true;
}
