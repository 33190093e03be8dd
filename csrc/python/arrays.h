// Arrays from Python: they are passed as objects and checked, never converted implicitly. The public functions of the
// package check their arguments first, so these checks guard against misuse of the module.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <string>
#include <vector>

namespace simplepose {

namespace py = pybind11;

// "[a, b]"; a negative length is written "*".
template <typename Lengths>
std::string shape_text(const Lengths& lengths) {
  std::string text;
  for (const auto length : lengths)
    text += (text.empty() ? "" : ", ") + (length < 0 ? std::string("*") : std::to_string(length));
  return "[" + text + "]";
}

// Throws TypeError for an object that is not an array, ValueError for an array of another type, shape or order.
[[noreturn]] inline void throw_wrong_array(const char* name, const py::dtype& dtype,
                                           std::initializer_list<py::ssize_t> shape, const py::object& got) {
  const std::string expected = std::string(name) + ": expected a C-contiguous array of " + std::string(py::str(dtype)) +
                               " and shape " + shape_text(shape) + ", got ";
  if (!py::isinstance<py::array>(got)) throw py::type_error(expected + std::string(py::str(py::type::handle_of(got))));
  const auto array = py::reinterpret_borrow<py::array>(got);
  const std::vector<py::ssize_t> lengths(array.shape(), array.shape() + array.ndim());
  throw py::value_error(expected + std::string(py::str(array.dtype())) + " " + shape_text(lengths));
}

inline bool has_shape(const py::array& array, std::initializer_list<py::ssize_t> shape) {
  if (array.ndim() != static_cast<py::ssize_t>(shape.size())) return false;
  const py::ssize_t* length = array.shape();
  for (const py::ssize_t expected : shape) {
    if (expected >= 0 && *length != expected) return false;
    ++length;
  }
  return true;
}

// A C-contiguous array of `T` with the given shape; -1 matches any length.
template <typename T>
py::array checked_array(const char* name, const py::object& object, std::initializer_list<py::ssize_t> shape) {
  if (py::isinstance<py::array>(object)) {
    auto array = py::reinterpret_borrow<py::array>(object);
    const bool contiguous = array.flags() & py::array::c_style;
    if (array.dtype().equal(py::dtype::of<T>()) && contiguous && has_shape(array, shape)) return array;
  }
  throw_wrong_array(name, py::dtype::of<T>(), shape, object);
}

template <typename T>
const T* data_of(const py::array& array) {
  return static_cast<const T*>(array.data());
}

// A new array that Python owns.
template <typename T>
py::array_t<T> new_array(std::initializer_list<py::ssize_t> shape) {
  return py::array_t<T>(std::vector<py::ssize_t>(shape));
}

}  // namespace simplepose
