// Arrays at the border to Python: taken as objects and checked, never converted in silence.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <string>

namespace simplepose {

namespace py = pybind11;

// What Python callers see when an array is not what an op needs. The public face checks before it calls, so this
// guards the border against misuse.
[[noreturn]] inline void array_error(const char* name, const std::string& expected, const py::handle& got) {
  throw py::type_error(std::string(name) + ": expected " + expected + ", got " +
                       py::cast<std::string>(py::str(py::type::handle_of(got))));
}

// A C-contiguous array of `T` with the given shape; -1 matches any length.
template <typename T>
py::array checked_array(const char* name, const py::object& object, std::initializer_list<py::ssize_t> shape) {
  const std::string expected = "a C-contiguous array of " + std::string(py::str(py::dtype::of<T>())) + " with " +
                               std::to_string(shape.size()) + " dimensions";
  if (!py::isinstance<py::array>(object)) array_error(name, expected, object);
  auto array = py::reinterpret_borrow<py::array>(object);
  bool good = array.dtype().equal(py::dtype::of<T>()) && (array.flags() & py::array::c_style) &&
              array.ndim() == static_cast<py::ssize_t>(shape.size());
  if (good) {
    int axis = 0;
    for (const py::ssize_t length : shape) {
      good = good && (length < 0 || array.shape(axis) == length);
      ++axis;
    }
  }
  if (!good) {
    std::string wanted, found;
    for (const py::ssize_t length : shape) wanted += (length < 0 ? std::string("*") : std::to_string(length)) + ",";
    for (int axis = 0; axis < array.ndim(); ++axis) found += std::to_string(array.shape(axis)) + ",";
    throw py::value_error(std::string(name) + ": expected " + expected + " and shape [" + wanted + "], got " +
                          std::string(py::str(array.dtype())) + " [" + found + "]");
  }
  return array;
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
