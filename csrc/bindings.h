// What the files of the Python module share.
#pragma once

#include "arrays.h"
